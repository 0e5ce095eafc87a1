"""Callers leave a replica that hangs soon enough for its work to go on at another within 15 s.

gRPC has two limits: for keepalive pings, and for those that it sends on its own account. While one of these is on its
way no keepalive ping is sent, so a worker of a hung Jobs waited for the second limit, which is a minute unless set.
Elsewhere: how long it takes in practice (benchmarks/pipelines/handover.py).
"""

import pytest

from services.kit.rpc import channels
from services.worker.peers import calls

HANDED_OVER_MS = 15_000


@pytest.mark.parametrize("options", [channels.OPTIONS, calls.OPTIONS], ids=["services", "workers"])
def test_a_peer_that_hangs_is_found_out_in_time(options: tuple[tuple[str, int], ...]) -> None:
    found = dict(options)
    for limit in ("grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"):
        assert found["grpc.keepalive_time_ms"] + found[limit] < HANDED_OVER_MS
    assert found["grpc.http2.max_pings_without_data"] == 0, "or a call that waits for long sends two and no more"
