"""One frozen dataclass per command; every option declared once."""
