"""Fixtures of every test: real servers, each started when the first test asks for it."""

from tests.support.servers import nats_url, pfs_address, pfs_channel, service_token, spine

__all__ = ["nats_url", "pfs_address", "pfs_channel", "service_token", "spine"]
