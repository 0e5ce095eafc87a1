"""gRPC on both sides: servers, channels, and taking part in transactions of PFS."""
