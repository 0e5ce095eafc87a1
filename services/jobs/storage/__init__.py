"""Rows of the jobs database, and the objects of its own store."""
