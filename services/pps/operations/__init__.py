"""Transactions on pipelines."""
