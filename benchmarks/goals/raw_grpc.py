"""The peer of every reading: a server of the same kind that only sends messages as large as ours, made beforehand.

`python -m benchmarks.goals.raw_grpc` serves /raw/One (a message) and /raw/Many (as many messages as asked for).
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from tests.support.servers import channel, running

MESSAGE = b"x" * 170  # what a FileInfo of these trees takes


@contextmanager
def raw_grpc() -> Iterator["Raw"]:
    command = [sys.executable, "-m", "benchmarks.goals.raw_grpc"]
    with running(command, ready=r"serving on (\S+)") as found, channel(found[1]) as at:
        yield Raw(at)


class Raw:
    """Asks it."""

    def __init__(self, at: grpc.Channel) -> None:
        self._one: Any = at.unary_unary("/raw/One")
        self._many: Any = at.unary_stream("/raw/Many")

    def one(self) -> int:
        return len(self._one(MESSAGE))

    def many(self, count: int) -> int:
        return sum(1 for _ in self._many(str(count).encode()))


async def _one(request: bytes, context: object) -> bytes:
    return MESSAGE


async def _many(request: bytes, context: object) -> AsyncIterator[bytes]:
    for _ in range(int(request)):
        yield MESSAGE


async def _serve() -> None:
    server = grpc.aio.server()
    methods: dict[str, Any] = {
        "One": grpc.unary_unary_rpc_method_handler(_one),
        "Many": grpc.unary_stream_rpc_method_handler(_many),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("raw", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve())
