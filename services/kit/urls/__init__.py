"""Addresses that callers name: what may be read from and written to them, by scheme. Drivers: web, buckets, folders."""
