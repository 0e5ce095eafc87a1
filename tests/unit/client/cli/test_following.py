"""Following a log over breaks of the connection: each line once, and an end when the server stays away."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import grpc
import pytest

from datamill.cli import following
from datamill.errors import Failed, NotFound, Unavailable
from datamill.wire import pps_v2_pb2 as pps


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSE", 0.001)


def line(text: str, second: float) -> pps.LogMessage:
    """second: from now."""
    made = pps.LogMessage(message=text)
    made.ts.FromDatetime(datetime.now(UTC) + timedelta(seconds=second))
    return made


class Server:
    """Stored lines in the order of storing; each call gets those of its time, and then the connection breaks."""

    def __init__(self, *calls: list[pps.LogMessage], error: Exception | None = None) -> None:
        self.calls, self.stored, self.asked = list(calls), list[pps.LogMessage](), list[timedelta | None]()
        self.error = error or Unavailable("Socket closed")

    def __call__(self, since: timedelta | None) -> Iterator[pps.LogMessage]:
        self.asked.append(since)
        self.stored += self.calls.pop(0) if self.calls else []
        start = datetime.now(UTC) - (since or timedelta(days=1))
        yield from [one for one in self.stored if one.ts.ToDatetime(UTC) >= start]
        raise self.error


def test_lines_are_neither_repeated_nor_lost(capsys: pytest.CaptureFixture[str]) -> None:
    twice = line("alike", 1)
    server = Server(
        [line("old", -300), twice, twice], [line("late", 0.5), twice, line("new", 2)], [], [line("last", 3)]
    )
    found = [one.message for one in islice(following.followed(server, None), 7)]
    assert found == ["old", "alike", "alike", "late", "alike", "new", "last"]
    assert server.asked[0] is None
    assert all(since is not None and since < timedelta(minutes=2) for since in server.asked[1:])
    said = capsys.readouterr().err
    assert "the server went away (Socket closed); connecting again" in said
    assert "the server is back" in said


def test_a_server_that_stays_away_is_given_up() -> None:
    with pytest.raises(Unavailable, match=r"gave up after 0\.05 s: Socket closed"):
        list(following.followed(Server([], error=Unavailable("Socket closed")), None, patience=0.05))


@pytest.mark.parametrize("error", [NotFound("could not get pipeline"), Failed("a mistake", grpc.StatusCode.INTERNAL)])
def test_what_is_wrong_for_good_is_told_at_once(error: Exception) -> None:
    server = Server([], error=error)
    with pytest.raises(type(error)):
        list(following.followed(server, None))
    assert len(server.asked) == 1


def test_nobody_there_from_the_start_is_told_at_once() -> None:
    server = Server([], error=Unavailable("no datamill answers at grpc://here"))
    with pytest.raises(Unavailable, match="no datamill answers"):
        list(following.followed(server, None))
    assert len(server.asked) == 1
