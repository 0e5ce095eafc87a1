"""Problems become statuses at one place, for calls of every shape, and a server drains before it goes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health_pb2, health_pb2_grpc

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from services.kit import errors
from services.kit.rpc import channels
from services.kit.rpc.server import Answers, Encoded, PortInUse, is_service, serving
from tests.support.servers import free_port

NAME = "pfs_v2.API"
DRAIN = timedelta(seconds=5)


class Api(pfs_grpc.APIServicer):
    """Answers each call with the trouble its request names."""

    def __init__(self) -> None:
        self.entered, self.let_go = asyncio.Event(), asyncio.Event()

    async def InspectRepo(self, request: pfs.InspectRepoRequest, context: Any) -> pfs.RepoInfo:
        if request.repo.name == "boom":
            raise KeyError("secret detail")
        if request.repo.name == "whoami":
            return pfs.RepoInfo(description=str(is_service(context, "token")))
        if request.repo.name == "slow":
            self.entered.set()
            await self.let_go.wait()
            return pfs.RepoInfo(description="done")
        raise getattr(errors, request.repo.name)("a sentence")

    async def ListRepo(self, request: pfs.ListRepoRequest, context: Any) -> Answers:
        if request.type == "many":
            yield Encoded(pfs.RepoInfo(description=text).SerializeToString() for text in ("1", "2"))
            yield Encoded()
        yield pfs.RepoInfo(description="first")
        raise errors.NotFound("gone half-way")

    async def ModifyFile(self, request_iterator: AsyncIterator[pfs.ModifyFileRequest], context: Any) -> Empty:
        async for _ in request_iterator:
            pass
        raise errors.Exhausted("full")


@asynccontextmanager
async def _served(api: Api, at: str = "127.0.0.1:0") -> AsyncIterator[str]:
    def register(server: grpc.aio.Server) -> None:
        pfs_grpc.add_APIServicer_to_server(api, server)

    async with serving([register], [NAME], at=at, drain=DRAIN) as address:
        yield address


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with _served(Api()) as address:
        yield address


@pytest.fixture
async def api(address: str) -> AsyncIterator[Any]:
    async with channels.connect(address, token="token") as channel:
        yield pfs_grpc.APIStub(channel)


def _named(name: str) -> pfs.InspectRepoRequest:
    return pfs.InspectRepoRequest(repo=pfs.Repo(name=name))


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        ("Problem", grpc.StatusCode.UNKNOWN), ("Invalid", grpc.StatusCode.INVALID_ARGUMENT),
        ("NotFound", grpc.StatusCode.NOT_FOUND), ("AlreadyExists", grpc.StatusCode.ALREADY_EXISTS),
        ("Refused", grpc.StatusCode.FAILED_PRECONDITION), ("Unavailable", grpc.StatusCode.UNAVAILABLE),
        ("Exhausted", grpc.StatusCode.RESOURCE_EXHAUSTED), ("Unsupported", grpc.StatusCode.UNIMPLEMENTED),
        ("Forbidden", grpc.StatusCode.PERMISSION_DENIED), ("Corrupt", grpc.StatusCode.DATA_LOSS),
    ],
)  # fmt: skip
async def test_each_problem_has_its_status(api: Any, problem: str, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.InspectRepo(_named(problem))
    assert (caught.value.code(), caught.value.details()) == (code, "a sentence")


async def test_the_unexpected_is_internal_and_keeps_its_cause_to_itself(api: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.InspectRepo(_named("boom"))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_stream_that_fails_half_way_keeps_what_came_and_has_its_status(api: Any) -> None:
    replies = api.ListRepo(pfs.ListRepoRequest())
    assert (await replies.read()).description == "first"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await replies.read()
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "gone half-way")


async def test_a_request_stream_has_its_status_too(api: Any) -> None:
    async def requests() -> AsyncIterator[pfs.ModifyFileRequest]:
        yield pfs.ModifyFileRequest()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.ModifyFile(requests())
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_method_nobody_wrote_is_named(api: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.DeleteRepo(pfs.DeleteRepoRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "DeleteRepo" in (caught.value.details() or "")


async def test_services_know_each_other_by_the_token(api: Any, address: str) -> None:
    assert (await api.InspectRepo(_named("whoami"))).description == "True"
    for token in ("", "guessed"):
        async with channels.connect(address, token=token) as channel:
            stub: Any = pfs_grpc.APIStub(channel)
            assert (await stub.InspectRepo(_named("whoami"))).description == "False"


async def test_a_port_in_use_is_a_clear_mistake() -> None:
    async with serving([], [], at="127.0.0.1:0", drain=DRAIN) as address:
        with pytest.raises(PortInUse, match="port in use"):
            async with serving([], [], at=address, drain=DRAIN):
                pass


async def test_a_peer_that_has_just_come_up_is_found_by_the_next_call() -> None:
    """A channel that could not connect tries again only after a while; a call does not fail for that."""
    address = f"127.0.0.1:{free_port()}"
    async with channels.connect(address) as channel:
        stub: Any = pfs_grpc.APIStub(channel)
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
                await stub.InspectRepo(_named("whoami"), timeout=10)
        async with _served(Api(), at=address):
            assert (await stub.InspectRepo(_named("whoami"))).description == "False"


async def test_a_running_call_ends_before_the_server_does() -> None:
    api = Api()
    async with asyncio.TaskGroup() as group, _served(api) as address:
        channel = channels.connect(address)
        stub: Any = pfs_grpc.APIStub(channel)
        call = group.create_task(_described(stub))
        await api.entered.wait()
        group.create_task(_later(api.let_go))
    assert await call == "done"
    await channel.close()


async def _described(stub: Any) -> str:
    return str((await stub.InspectRepo(_named("slow"))).description)


async def _later(event: asyncio.Event) -> None:
    await asyncio.sleep(0.1)
    event.set()


async def test_a_stream_sends_messages_and_bytes_of_messages_in_their_order(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        replies = pfs_grpc.APIStub(channel).ListRepo(pfs.ListRepoRequest(type="many"))
        assert [(await anext(aiter(replies))).description for _ in range(3)] == ["1", "2", "first"]
        with pytest.raises(grpc.aio.AioRpcError, match="gone half-way"):
            await anext(aiter(replies))


async def test_health_can_be_watched(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
        first = await anext(aiter(watch))
        assert first.status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
