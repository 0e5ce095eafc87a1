"""Logs and spans, on their way to the jobs service."""
