"""Rows of pipelines and their versions."""
