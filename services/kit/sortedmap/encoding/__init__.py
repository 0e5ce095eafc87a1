"""Ranges and nodes in memory and as bytes."""
