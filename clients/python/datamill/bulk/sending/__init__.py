"""The way in: cutting, packing, remembering, storing."""
