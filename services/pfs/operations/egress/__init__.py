"""Egress: a commit written into tables of a database."""
