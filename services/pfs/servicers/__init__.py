"""The wire: requests in, answers out."""
