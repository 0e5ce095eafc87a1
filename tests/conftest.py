"""Fixtures of every test: real servers, each started when the first test asks for it."""

import os
import signal

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # its fork handlers abort children now and then; ours only exec
# What shells run in the background ignores interrupts, and so would every process that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from tests.support.postgres import own_postgres, postgres
from tests.support.seaweed import seaweed
from tests.support.servers import nats_url, pfs_address, pfs_channel, service_token, spine

__all__ = ["nats_url", "own_postgres", "pfs_address", "pfs_channel", "postgres", "seaweed", "service_token", "spine"]
