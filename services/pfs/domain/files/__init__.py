"""Paths, globs, entries and layers: what a tree is made of."""
