"""Pages of a log: every line once and in order, whatever the size and direction; selectors that are understood."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain.errors import BadRequest
from services.jobs.domain.logs.lines import LogBatch, LogScope
from services.jobs.domain.logs.records import Level, Record
from services.jobs.domain.logs.selectors import Clause, parse
from services.jobs.operations.history import choosing, paging
from services.jobs.operations.history.paging import BEGIN, END, Range


def record(at: int, text: str, *, project: str = "default", pipeline: str = "p", user: bool = True) -> Record:
    batch = LogBatch(LogScope(project, pipeline, "j", "d"), "w", user, False, (), (), ((at, text),))
    return Record(batch, at, text)


async def coming(records: Sequence[Record]) -> AsyncIterator[Record | None]:
    for one in records:
        yield one
    yield None


def page(records: Sequence[Record], wanted: Range) -> list[Record]:
    return asyncio.run(paging.page(coming(records), wanted))


TIMES = st.lists(st.integers(0, 6), max_size=12)


@given(TIMES, st.integers(1, 5), st.booleans())
def test_pages_after_one_another_are_the_whole_log(times: list[int], size: int, backwards: bool) -> None:
    records = [record(at, str(number)) for number, at in enumerate(times)]
    wanted = Range(END, BEGIN, 0, size) if backwards else Range(0, END, 0, size)
    found = list[str]()
    while shown := page(records, wanted):
        found += [one.text for one in shown]
        wanted = paging.after(wanted, shown)
    in_order = [str(number) for number, _ in sorted(enumerate(times), key=lambda pair: pair[1])]
    assert found == (in_order[::-1] if backwards else in_order)


def test_the_page_before_a_page_holds_what_came_before_it() -> None:
    records = [record(at, str(at)) for at in range(10)]
    first = page(records, Range(5, END, 0, 3))
    assert [one.text for one in first] == ["5", "6", "7"]
    older = paging.before(Range(5, END, 0, 3), first, 1)
    assert [one.text for one in page(records, older)] == ["4", "3", "2"]
    newer = paging.before(older, page(records, older), 1)
    assert [one.text for one in page(records, newer)] == ["5", "6", "7"]


def test_lines_of_one_time_are_told_apart_by_their_number() -> None:
    records = [record(7, str(number)) for number in range(5)]
    back = Range(7, BEGIN, 1, 3)
    shown = page(records, back)
    assert [one.text for one in shown] == ["3", "2", "1"]
    assert [one.text for one in page(records, paging.after(back, shown))] == ["0"]
    assert [one.text for one in page(records, paging.before(back, shown, len(records)))] == ["4"]


def test_a_range_ends_before_its_stop() -> None:
    records = [record(at, str(at)) for at in range(10)]
    assert [one.text for one in page(records, Range(2, 5, 0, 9))] == ["2", "3", "4"]
    assert [one.text for one in page(records, Range(5, 2, 0, 9))] == ["5", "4", "3"]


def test_lines_of_several_workers_are_put_in_order_while_they_come() -> None:
    times = [3, 1, 2, 5, 4]

    async def go() -> list[int]:
        found = paging.in_order(coming([record(at, "") for at in times]), Range(0, END))
        return [one.at async for one in found]

    assert asyncio.run(go()) == sorted(times)


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ('{pipelineName="p"}', True),
        ('{pipelineName="q"}', False),
        ('{pipelineName!="q", pod=~"w|v"} |= "wor" != "never"', True),
        ('{} |~ "h.*d" !~ "^x"', True),
        ("{app=`pipeline`} |= `hello`", True),
        ('{nothing=""}', True),
        ('{app="pachd"}', False),
    ],
)
def test_selectors(query: str, holds: bool) -> None:
    assert choosing.by_tests(parse(query))(record(1, "hello world")) is holds


@pytest.mark.parametrize(
    "query", ["", "p", "{", "{a}", '{a="b"', '{a="b" c="d"}', "{} |= x", "{} | json", '{a=~"("}', '{} |= "\\q"']
)
def test_a_query_that_cannot_be_read_says_where(query: str) -> None:
    with pytest.raises(BadRequest, match="cannot read the"):
        choosing.by_tests(parse(query))


@given(st.text(alphabet='{}=!~|"`a,\\ '))
def test_any_query_is_read_or_refused(query: str) -> None:
    try:
        assert all(isinstance(test, Clause) for test in parse(query))
    except BadRequest:
        return


def test_levels_and_objects_of_lines() -> None:
    assert record(1, "errored running", user=False).level is Level.ERROR
    assert record(1, "errored running").level is Level.INFO
    service = record(1, '{"level": "debug", "message": "x"}', project="", pipeline="pfs", user=False)
    assert (service.level, service.fields["message"], service.labels["app"]) == (Level.DEBUG, "x", "pachd")
    odd = record(1_500_000_000, "no JSON", project="", pipeline="pfs", user=False)
    assert odd.fields == {"message": "no JSON", "time": "1970-01-01T00:00:01.500000000Z", "severity": "info"}
    assert record(1, "%s").fields["message"] == "%s"
