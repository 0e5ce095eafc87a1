"""The way out: reading extents, landing files."""
