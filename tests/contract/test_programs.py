"""Programs of users: what a filter keeps, and that nothing of a bad one reaches the process that runs it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from datamill.wire import pps_v2_pb2 as pps
from services.kit.programs import jq
from services.kit.programs.jq import BadFilter, FilterFailed, FilterTooSlow, filtering

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
