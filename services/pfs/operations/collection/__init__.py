"""Garbage collection, and looking after what is stored."""
