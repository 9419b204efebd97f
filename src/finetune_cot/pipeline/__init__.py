"""One function per command: read artifacts, compute, write artifacts."""
