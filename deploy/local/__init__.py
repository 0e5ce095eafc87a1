"""The instance on one machine: NATS, the services and the gateway, supervised, under one data directory."""
