"""Folders and big files, in and out."""
