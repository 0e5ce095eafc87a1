"""The client's own call of NextDatum, against the worker's own server: long answers, long errors, refusals, an end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from datamill.next_datum import CallFailed, NextDatum
from datamill.wire import worker_pb2
from services.worker.serving.http2 import UNKNOWN, Call
from services.worker.serving.server import Server
from tests.support.patience import eventually

PATH = "/pachyderm.worker.Worker/NextDatum"


def answer(call: Call, message: bytes) -> None:
    error = worker_pb2.NextDatumRequest.FromString(message).error
    if error == "refuse":
        call.fail(UNKNOWN, "no: 100 % ü")
    else:
        size = int(error) if error.isdigit() else 1
        call.reply(worker_pb2.NextDatumResponse(env=[f"error={error[:50]}", "long=" + "x" * size]).SerializeToString())


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server("127.0.0.1:0", {PATH: answer})
    made.start()
    yield made
    made.stop()


def asked(link: NextDatum, error: str) -> list[str]:
    return list(worker_pb2.NextDatumResponse.FromString(link.ask(error)).env)


def test_answers_of_every_size_one_after_another(server: Server) -> None:
    link = NextDatum(server.port)
    for size in (0, 1, 100, 200, 16_370, 16_384, 70_000, 3_000_000, 7):
        assert asked(link, str(size)) == [f"error={size}", "long=" + "x" * size]
    assert asked(link, "") == ["error=", "long=x"]
    link.close()


def test_many_callers_and_errors_longer_than_a_frame(server: Server) -> None:
    def caller(number: int) -> None:
        link = NextDatum(server.port)
        for turn in range(300):
            error = f"{number}-{turn}-" + "ü" * 40_000 * (turn % 10 == 0)
            assert asked(link, error)[0] == f"error={error[:50]}"
        link.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(caller, range(4)))


def test_a_refusal_in_its_words(server: Server) -> None:
    link = NextDatum(server.port)
    with pytest.raises(CallFailed, match="no: 100 % ü") as refused:
        link.ask("refuse")
    assert refused.value.code == UNKNOWN
    assert asked(link, "and again")[0] == "error=and again"
    link.close()


def test_a_worker_that_is_gone() -> None:
    hanging: list[Call] = []
    server = Server("127.0.0.1:0", {PATH: lambda call, _: hanging.append(call)})
    server.start()
    link = NextDatum(server.port)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(link.ask, "")
        eventually(lambda: bool(hanging))
        server.stop()
        with pytest.raises(CallFailed, match="the worker"):
            waiting.result(120)
    with pytest.raises(CallFailed, match="no worker answers"):
        NextDatum(server.port)
