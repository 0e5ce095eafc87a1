"""A pipeline service that starts before those it works with."""

from pathlib import Path

import grpc

from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.proxy import Mood, Proxy
from tests.support.servers import unique
from tests.system.chaos.dag import named
from tests.system.pps.changes.test_pipelines import Side, started


def test_a_start_before_the_file_service_is_no_trouble(
    tmp_path: Path, nats_url: str, service_token: str, pfs_address: str
) -> None:
    asked = pps.CreatePipelineRequest(pipeline=named(unique("p")), transform=pps.Transform(cmd=["true"]))
    proxy = Proxy(int(pfs_address.rpartition(":")[2]))
    proxy.mood = Mood.AWAY
    proxy.start()
    try:
        with started(tmp_path, nats_url, service_token, proxy.endpoint) as side:
            eventually(lambda: proxy.connections >= 3)
            proxy.mood = Mood.FAITHFUL
            eventually(lambda: _taken(side, asked))
            said = side.process.log
            side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=asked.pipeline))
    finally:
        proxy.stop()
    assert "failed to connect" not in said
    assert '"level": "error"' not in said


def _taken(side: Side, request: pps.CreatePipelineRequest) -> bool:
    try:
        side.pps.CreatePipeline(request)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.ALREADY_EXISTS
    return True
