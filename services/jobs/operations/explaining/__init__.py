"""Gathering the facts that answer why."""
