"""Data sets, splits and the bundled procedural tasks."""
