"""Programs of users: what a filter keeps, and that nothing of a bad one reaches the process that runs it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from datamill.wire import pps_v2_pb2 as pps
from services.kit.errors import NotFound
from services.kit.programs import confined as programs
from services.kit.programs import jq, jsonnet
from services.kit.programs.confined import TooMany
from services.kit.programs.jq import BadFilter, FilterFailed, FilterTooSlow, filtering
from services.kit.programs.jsonnet import TemplateFailed, TemplateTooSlow

INFO = pps.PipelineInfo(version=3, state=pps.PIPELINE_RUNNING, user_spec_json="{}")
INFO.pipeline.name = "edges"


@contextmanager
def nobody_left() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


async def kept(program: str) -> bool:
    with nobody_left():
        async with filtering(program) as chosen:
            first = await chosen.keeps(INFO)
            assert await chosen.keeps(INFO) == first
            return first


@pytest.mark.parametrize(
    "program",
    [
        "",
        '.state == "PIPELINE_RUNNING"',
        '.version == "3"',  # 64-bit numbers are strings
        ".user_spec_json",  # the protocol's own names
        ".stopped == null",  # what has its default is left out
        '.pipeline.name | test("^ed")',
        "0",
        '""',
        "true, false",
        "first(repeat(1))",
    ],
)
async def test_kept(program: str) -> None:
    assert await kept(program)


@pytest.mark.parametrize(
    "program",
    ["false", "null", "empty", ".stopped", ".userSpecJson", "false, true", "halt", '$ENV.PATH // env["PATH"]'],
)
async def test_dropped(program: str) -> None:
    assert not await kept(program)


async def test_a_program_that_cannot_be_read() -> None:
    with nobody_left(), pytest.raises(BadFilter, match=r"^error parsing jq filter: .*syntax error"):
        async with filtering(".state ==") as _:
            pass


@pytest.mark.parametrize("program", ['import "/etc/hosts" as $x; 1', 'include "./child"; 1'])
async def test_files_cannot_be_reached(program: str) -> None:
    with pytest.raises(BadFilter, match="error parsing jq filter"):
        await kept(program)


@pytest.mark.parametrize("program", [".version.x", 'error("no")', "input", "[range(1e9)]", "def f: [f]; f"])
async def test_a_program_that_fails(program: str) -> None:
    with pytest.raises(FilterFailed, match=r"^error applying jq filter on proto message: "):
        await kept(program)


async def test_a_program_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jq, "SECONDS", 0.5)
    others = asyncio.create_task(kept(".version"))
    with pytest.raises(FilterTooSlow, match="context deadline exceeded"):
        await kept("[recurse(1)]|length")
    assert await others


async def test_a_caller_that_goes_away() -> None:
    with nobody_left(), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await kept("last(repeat(1))")


async def test_more_callers_than_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for one to end, and are told when that takes too long."""
    monkeypatch.setattr(programs, "AT_ONCE", asyncio.Semaphore(1))
    async with filtering("true"):
        waiting = asyncio.create_task(kept(".version"))
    assert await waiting
    monkeypatch.setattr(programs, "WAIT_SECONDS", 0.1)
    async with filtering("true"):
        with pytest.raises(TooMany):
            await kept(".version")
    assert await kept(".version")


PAGES = {"http://pages/two": "2", "http://pages/deep": "{four: 2 * import 'http://pages/two'}"}


async def page(url: str) -> str:
    if url not in PAGES:
        raise NotFound(f"there is nothing at {url}")
    return PAGES[url]


async def rendered(template: str, **args: str) -> object:
    with nobody_left():
        return json.loads(await jsonnet.rendered(template, args, fetch=page))


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("function(a, b='x') {a: a, b: b}", {"a": "1", "b": "x"}),
        ("function(a) [{n: n} for n in std.range(1, std.parseInt(a) + 1)]", [{"n": 1}, {"n": 2}]),
        ("function(a) (import 'http://pages/deep') + {five: 1 + $.four}", {"four": 4, "five": 5}),
        ("function(a) [importstr 'http://pages/two', import 'http://pages/two']", ["2", 2]),
    ],
)
async def test_a_template(template: str, wanted: object) -> None:
    assert await rendered(template, a="1") == wanted


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{", "Unexpected: end of file"),
        ("function(a) a", "Missing argument: a"),
        ("assert false: 'not so'; {}", "not so"),
        ("std.extVar('a')", "Undefined external variable"),
        ("importstr '/etc/passwd'", "/etc/passwd: a template can import http and https addresses only\n"),
        ("import 'beside.libsonnet'", "can import http and https addresses only"),
        ("import 'file:///etc/passwd'", "can import http and https addresses only\n"),
        ("import 'http://pages/none'", "there is nothing at http://pages/none\n"),
        ("{a: {b: import 'http://pages/none'}}", "there is nothing"),
        ("local f(n) = f(n + 1); f(1)", "max stack frames exceeded"),
        ("local f(n, t) = if n == 0 then t else f(n - 1, t + t) tailstrict; f(40, 'aaaaaaaa')", "more memory"),
    ],
)
async def test_a_template_that_fails(template: str, why: str) -> None:
    with pytest.raises(TemplateFailed, match=f"^template err: (.|\n)*{why}"):
        await rendered(template)


async def test_a_template_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonnet, "SECONDS", 0.5)
    with pytest.raises(TemplateTooSlow, match=r"^template err: context deadline exceeded"):
        await rendered("local f(n) = if n == 0 then 0 else f(n - 1) + f(n - 1); f(64)")  # takes no memory worth a word
