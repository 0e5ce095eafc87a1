"""Pipelines, their history, and the worker groups that run them."""
