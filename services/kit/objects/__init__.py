"""The object store behind one small interface: immutable objects, whole or in ranges. Drivers: local.py, s3.py."""
