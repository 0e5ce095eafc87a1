"""The worker's own small gRPC server, asked by real gRPC clients and by whoever speaks nonsense."""

import asyncio
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from services.worker.serving.hpack import BadBlock, Decoder
from services.worker.serving.http2 import UNKNOWN, Call
from services.worker.serving.server import Server
from tests.support.patience import eventually

LENIENT = [("grpc.max_receive_message_length", 20 << 20), ("grpc.enable_http_proxy", 0)]
held: list[Call] = []


def echo(call: Call, message: bytes) -> None:
    call.reply(message * 3)


def method(channel: Any, name: str) -> Any:
    """Bytes in, bytes out."""
    return channel.unary_unary(name)


@pytest.fixture
def server() -> Iterator[Server]:
    held.clear()
    made = Server(
        "127.0.0.1:0",
        {
            "/s/Echo": echo,
            "/s/Hold": lambda call, _: held.append(call),
            "/s/Refuse": lambda call, _: call.fail(UNKNOWN, "no: 100 % ü\n"),
        },
    )
    made.start()
    yield made
    made.stop()


def test_calls_of_every_size_from_many_clients(server: Server) -> None:
    def client(number: int) -> None:
        with grpc.insecure_channel(f"localhost:{server.port}", options=LENIENT) as channel:
            call = method(channel, "/s/Echo")
            for size in (0, 1, 1000, 16_384, 65_536, 300_000, 3):
                data = bytes([number]) * size
                names = [(f"x-name-{number}", "a value that is kept ~^")]
                assert call(data, metadata=names, timeout=120) == data * 3

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))


def test_an_asyncio_client(server: Server) -> None:
    async def ask() -> list[bytes]:
        async with grpc.aio.insecure_channel(f"localhost:{server.port}", options=LENIENT) as channel:
            call = method(channel, "/s/Echo")
            return list(await asyncio.gather(*(call(b"%d" % n, timeout=120) for n in range(200))))

    assert asyncio.run(ask()) == [b"%d" % n * 3 for n in range(200)]


def test_errors_and_who_is_gone(server: Server) -> None:
    with grpc.insecure_channel(f"localhost:{server.port}", options=LENIENT) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            method(channel, "/s/Refuse")(b"", timeout=120)
        assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNKNOWN, "no: 100 % ü\n")
        with pytest.raises(grpc.RpcError) as unknown:
            method(channel, "/s/Nothing")(b"", timeout=120)
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.RpcError) as packed:
            method(channel, "/s/Echo")(b"x" * 9999, timeout=120, compression=grpc.Compression.Gzip)
        assert packed.value.code() is grpc.StatusCode.UNIMPLEMENTED
        waiting = method(channel, "/s/Hold").future(b"")
        eventually(lambda: len(held) == 1)
        waiting.cancel()
        eventually(lambda: held[0].over)
        later = method(channel, "/s/Hold").future(b"", timeout=120)
        eventually(lambda: len(held) == 2)
        held[0].reply(b"too late")
        held[1].reply(b"y" * 500_000)
        assert later.result() == b"y" * 500_000
        method(channel, "/s/Hold").future(b"")
        eventually(lambda: len(held) == 3)
    eventually(lambda: held[2].over)  # its connection is closed


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n" * 9, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00" + b"\0" * 99]
)
def test_nonsense_closes_its_own_connection_only(server: Server, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 120) as link:
        link.sendall(data)
        while link.recv(1000):
            pass
    with grpc.insecure_channel(f"localhost:{server.port}", options=LENIENT) as channel:
        assert method(channel, "/s/Echo")(b"x", timeout=120) == b"xxx"


def test_another_thread_takes_over_and_gives_back(server: Server) -> None:
    with grpc.insecure_channel(f"localhost:{server.port}", options=LENIENT) as channel:
        call = method(channel, "/s/Echo")
        assert call(b"1", timeout=120) == b"111"
        server.take_over(True)
        assert call(b"2", timeout=120) == b"222"  # nobody watches: a little later, the server's own thread does
        assert select.select([server.fd], [], [], 120)[0], "who took over is not told what was done in its place"
        server.watch(True)
        waiting = call.future(b"3", timeout=120)

        def done() -> bool:
            server.turn()
            return bool(waiting.done())

        eventually(done)
        assert waiting.result() == b"333"
        server.watch(False)
        server.take_over(False)
        assert call(b"4", timeout=120) == b"444"


def test_header_blocks_as_the_standard_shows_them() -> None:
    """RFC 7541, C.4: three requests over one connection, with coded texts and a table that grows."""
    decoder = Decoder()
    common = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")]
    assert decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")) == common
    assert decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf")) == [*common, ("cache-control", "no-cache")]
    third = decoder.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
    assert third[1:3] == [(":scheme", "https"), (":path", "/index.html")]
    assert third[-1] == ("custom-key", "custom-value")
    assert decoder.decode(b"\x20\x3f\xe1\x1f\x82") == [(":method", "GET")]  # the table is emptied, and may grow again
    for bad in (b"\xbe", b"\x3f\xe2\x1f", b"\x41\x8c\xf1", b"\x80", b"\xff\xff\xff\xff\xff\xff", b"\x41\x81\x00"):
        with pytest.raises(BadBlock):
            decoder.decode(bad)
