"""Pipelines whose repos are gone: they can be deleted all the same."""

import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.kit.rpc.server import SERVICE_TOKEN_HEADER
from tests.system.chaos.dag import named
from tests.system.pps.changes.test_pipelines import Side, made, repo, repos


@pytest.mark.parametrize("keep_repo", [False, True])
@pytest.mark.parametrize("gone", [["user"], ["spec"], ["user", "meta", "spec"]])
def test_what_is_left_of_a_pipeline_is_deleted(
    side: Side, service_token: str, gone: list[str], *, keep_repo: bool
) -> None:
    _, name = made(side)
    as_service = ((SERVICE_TOKEN_HEADER, service_token),)
    for kind in gone:
        request = pfs.DeleteRepoRequest(repo=repo(name, kind), force=True)
        side.pfs.DeleteRepo(request, metadata=as_service)
    side.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name), keep_repo=keep_repo, must_exist=True))
    assert repos(side, name) <= ({"user"} if keep_repo else set())
    listed = side.pps.ListPipeline(pps.ListPipelineRequest())
    assert name not in {info.pipeline.name for info in listed}
