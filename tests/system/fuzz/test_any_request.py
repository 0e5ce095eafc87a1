"""Every method of every service answers the empty request and random ones: with something, or with a clear refusal.

INTERNAL and UNKNOWN "internal error" mean that a servicer fell over; a service that is gone means worse. FUZZ_REQUESTS
says how many random requests each method gets.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from datamill.wire import (
    admin_v2_pb2,
    auth_v2_pb2,
    content_v1_pb2,
    explain_v1_pb2,
    inputs_v1_pb2,
    logs_pb2,
    metadata_pb2,
    pps_v2_pb2,
    secrets_v1_pb2,
    storage_pb2,
    transaction_v2_pb2,
    trees_v1_pb2,
    upkeep_v1_pb2,
    versionpb_v2_pb2,
    work_v1_pb2,
)
from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import SERVICE_TOKEN, Spine, channel, spine_running
from tests.system.fuzz.messages import random_message, request_class
from tests.system.pfs.driver import Repo, put

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "25"))
SECONDS = 1.0  # a wait ends after so long
PFS = (
    pfs, transaction_v2_pb2, metadata_pb2, admin_v2_pb2, versionpb_v2_pb2, auth_v2_pb2, content_v1_pb2, trees_v1_pb2,
    storage_pb2,
)  # fmt: skip
SERVICES = [
    *(("pfs", module) for module in PFS),
    ("pps", pps_v2_pb2),
    ("pps", secrets_v1_pb2),
    ("pps", inputs_v1_pb2),
    ("jobs", pps_v2_pb2),
    ("jobs", logs_pb2),
    ("jobs", work_v1_pb2),
    ("jobs", explain_v1_pb2),
    ("pfs", upkeep_v1_pb2),
    ("jobs", upkeep_v1_pb2),
]
OURS = {
    module.DESCRIPTOR.package for module in (upkeep_v1_pb2, work_v1_pb2, inputs_v1_pb2)
}  # only services may call these
LEFT_OUT = {"RestartPachyderm"}
FALLEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
MEANT = ("cycle detected because", "not finished")  # sentences to which the protocol gives such a code


def _methods() -> Iterator[tuple[str, MethodDescriptor]]:
    for place, module in SERVICES:
        services: list[ServiceDescriptor] = list(module.DESCRIPTOR.services_by_name.values())
        for service in services:
            yield from ((place, method) for method in service.methods if method.name not in LEFT_OUT)


METHODS = list(_methods())


@dataclass(frozen=True)
class Under:
    """The services under test, and names that mean something to them."""

    spine: Spine
    known: list[str]


@pytest.fixture(scope="module")
def under(tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str) -> Iterator[Under]:
    """A spine of its own: random requests delete what they like."""
    root = tmp_path_factory.mktemp("fuzz")
    with spine_running(root, nats_url=nats_url, token=service_token) as spine, channel(spine.pfs) as opened:
        repo = Repo(opened)
        repo.modify(put("/a", b"content"), put("/d/b", b"more"))
        commit = repo.wait()
        yield Under(spine, [repo.name, commit.commit.id, "master", "/a", "/d/", "default", "user"])


@pytest.mark.parametrize(("place", "method"), METHODS, ids=[f"{p}-{m.full_name}" for p, m in METHODS])
def test_no_request_fells_a_service(under: Under, place: str, method: MethodDescriptor) -> None:
    draw = random.Random(method.full_name)
    empty = request_class(method)()
    address = getattr(under.spine, place)
    with channel(address) as opened:
        for turn in range(REQUESTS + 1):
            request = empty if turn == 0 else random_message(draw, method.input_type, under.known)
            code, text = _answer(opened, method, request.SerializeToString())
            assert code not in FALLEN or any(words in text for words in MEANT), (
                f"{code}: {text}\n{request}\n{_logs(under)}"
            )
    for name, process in under.spine.processes.items():
        assert process.process.poll() is None, f"{name} is gone"


@pytest.mark.parametrize(("place", "method"), METHODS, ids=[f"{p}-{m.full_name}" for p, m in METHODS])
def test_bytes_that_are_no_request_are_refused_as_such(under: Under, place: str, method: MethodDescriptor) -> None:
    with channel(getattr(under.spine, place)) as opened:
        code, text = _answer(opened, method, b"\xff\xff\xff\xff")
    refused = code is grpc.StatusCode.INVALID_ARGUMENT and text.startswith("the request cannot be read: ")
    assert refused or code is grpc.StatusCode.UNIMPLEMENTED, f"{code}: {text}"


def _logs(under: Under) -> str:
    """The last lines of each service: one may have handed on what another said."""
    return "\n".join(f"{name}: {process.log[-3000:]}" for name, process in under.spine.processes.items())


def _answer(opened: grpc.Channel, method: MethodDescriptor, request: bytes) -> tuple[grpc.StatusCode, str]:
    """How a call ends."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    shape = "_".join("stream" if one else "unary" for one in (method.client_streaming, method.server_streaming))
    call = getattr(opened, shape)(path, None, None)
    given = iter([request, request]) if method.client_streaming else request
    ours = method.containing_service.file.package in OURS
    metadata = (("datamill-service-token", SERVICE_TOKEN if ours else "wrong"),)
    try:
        answer = call(given, timeout=SECONDS, metadata=metadata)
        if method.server_streaming:
            for _ in answer:
                pass
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""
