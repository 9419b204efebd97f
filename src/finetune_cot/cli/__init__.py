"""One thin file per command: parse, call one pipeline function, show."""
