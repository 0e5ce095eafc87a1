"""What is asked for of a log, and that a log in an object gives it without being read whole."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain.logs.lines import LogBatch, LogScope, Message, subject_of, token, untoken
from services.jobs.domain.logs.queries import LogQuery
from services.jobs.storage import log_objects
from services.jobs.storage.log_objects import LogWriter, read_frame, read_index
from services.jobs.storage.objects import LOGS, key_of
from services.kit.errors import Corrupt
from services.kit.objects.local import LocalObjects

D1, D2 = "11" * 32, "22" * 32
NAME = "ab" * 16


def batch(datum: str = D1, at: int = 10, *texts: str, user: bool = True, master: bool = False) -> LogBatch:
    lines = tuple((at + number, text) for number, text in enumerate(texts or ("x",)))
    return LogBatch(LogScope("default", "p", "j", datum), "w", user, master, ("/a",), ("00ff",), lines)


def stored(number: int, one: LogBatch) -> Message:
    return Message(number, one.scope.subject, one.payload())


@pytest.mark.parametrize(
    ("query", "taken"),
    [
        (LogQuery(), True),
        (LogQuery(project="default", pipeline="p", job="j", datum=D1), True),
        (LogQuery(project="other"), False),
        (LogQuery(pipeline="q"), False),
        (LogQuery(job="k"), False),
        (LogQuery(datum=D2), False),
        (LogQuery(services=True), False),
        (LogQuery(master=False, user=True), True),
        (LogQuery(master=True), False),
        (LogQuery(user=False), False),
        (LogQuery(filters=("/a", "00ff", "AP8=")), True),
        (LogQuery(filters=("/a", "/b")), False),
        (LogQuery(since=13), False),
        (LogQuery(until=9), False),
    ],
)
def test_a_query_takes_what_it_names(query: LogQuery, taken: bool) -> None:
    assert (query.taken(batch(D1, 10, "a", "b", "c")) is not None) is taken


def test_lines_outside_the_time_asked_for_are_cut_off() -> None:
    found = LogQuery(since=11, until=12).taken(batch(D1, 10, "a", "b", "c", "d"))
    assert found is not None
    assert [text for _, text in found.lines] == ["b", "c"]


@given(st.text(max_size=8))
def test_a_token_is_one_and_gives_its_name_back(name: str) -> None:
    if not any(0xD800 <= ord(one) < 0xE000 for one in name):
        made = token(name)
        assert untoken(made) == name
        assert made
        assert not set(made) & set(".*> ")


def test_lines_of_services_are_never_those_of_a_project() -> None:
    assert subject_of("_", "p") != subject_of("", "p", services=True)
    assert subject_of(services=True) == "logs._.*.*.*"


def written(tmp_path: Path, messages: list[Message]) -> tuple[LocalObjects, log_objects.Written]:
    objects, writer = LocalObjects(tmp_path), LogWriter()
    for message in messages:
        writer.add(message)
    made = writer.finish()
    assert made is not None
    objects.put(key_of(LOGS, NAME), made.data)
    return objects, made


def test_an_object_gives_every_message_back_and_a_datum_costs_its_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_objects, "FRAME_BYTES", 300)
    batches = [batch(D1 if number < 50 else D2, number * 10, f"line {number} %s é") for number in range(100)]
    objects, made = written(tmp_path, [stored(number + 7, one) for number, one in enumerate(batches)])
    assert (made.last_number, made.first, made.last, made.lines) == (106, 0, 990, 100)
    frames = read_index(objects, NAME, made.index_at)
    found = [message for frame in frames for message in read_frame(objects, NAME, frame)]
    assert [message.number for message in found] == list(range(7, 107))
    assert [message.batch.lines for message in found] == [one.lines for one in batches]
    of_datum = [frame for frame in frames if frame.may_have(LogQuery(datum=D2))]
    assert 0 < len(of_datum) < len(frames) * 0.6
    assert len([frame for frame in frames if frame.may_have(LogQuery(since=950))]) < 4
    assert not any(frame.may_have(LogQuery(master=True)) for frame in frames)
    assert list(log_objects.problems(objects, [(NAME, made.index_at)])) == []


def test_damage_is_found(tmp_path: Path) -> None:
    objects, made = written(tmp_path, [stored(1, batch())])
    key = key_of(LOGS, NAME)
    for at in (3, made.index_at + 3):
        broken = bytearray(made.data)
        broken[at] ^= 0xFF
        objects.delete(key)
        objects.put(key, bytes(broken))
        (problem,) = log_objects.problems(objects, [(NAME, made.index_at)])
        assert key in problem
    objects.delete(key)
    with pytest.raises(Corrupt):
        read_index(objects, NAME, made.index_at)


def test_nothing_makes_no_object() -> None:
    assert LogWriter().finish() is None
    assert json.loads(batch().payload())["l"] == [[10, "x"]]
