"""The way in: cutting, packing, storing, naming."""
