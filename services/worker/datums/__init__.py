"""Datums: attempts at one, one after another or in one process, and what becomes of it."""
