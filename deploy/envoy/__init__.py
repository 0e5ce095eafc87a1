"""The gateway in front of the services."""
