"""Entries by columns on their way into a file set."""
