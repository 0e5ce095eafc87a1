"""jq filters over messages: the first value that a program gives for a record decides whether it stays.

Records are JSON with the protocol's own field names, names of enum values, 64-bit numbers as strings, and without what
has its default. What listings are filtered by is the user's, so it runs apart (confined.py).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from services.kit.errors import Problem, TooLong
from services.kit.programs.confined import Confined, Ended, TooSlow, confined

SECONDS = 10.0  # for one record
USED_UP = "it needs more memory than a filter may use"


class BadFilter(Problem):
    def __init__(self, why: str) -> None:
        super().__init__(f"error parsing jq filter: {why}")


class FilterFailed(Problem):
    def __init__(self, why: str) -> None:
        super().__init__(f"error applying jq filter on proto message: {why}")


class FilterTooSlow(TooLong):
    def __init__(self) -> None:
        super().__init__(
            f"error applying jq filter on proto message: context deadline exceeded after {SECONDS:g} s on one record"
        )


class Filter:
    """One program; for one caller after the other."""

    def __init__(self, process: Confined | None) -> None:
        self._process = process

    async def keeps(self, message: Message) -> bool:
        """Whether the record stays. Raises FilterFailed, FilterTooSlow."""
        if self._process is None:
            return True
        record = MessageToJson(message, preserving_proto_field_name=True, indent=None)
        answer = await _asked(self._process, record, FilterFailed)
        if "error" in answer:
            raise FilterFailed(answer["error"])
        return answer["first"] is not None and answer["first"] is not False  # 0 stays


@asynccontextmanager
async def filtering(program: str) -> AsyncIterator[Filter]:
    """A filter, until the block is left; the empty program keeps everything. Raises BadFilter, FilterTooSlow."""
    if not program:
        yield Filter(None)
        return
    async with confined("jq") as process:
        answer = await _asked(process, program, BadFilter)
        if "error" in answer:
            raise BadFilter(answer["error"])
        yield Filter(process)


async def _asked(process: Confined, question: str, problem: type[BadFilter | FilterFailed]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = await process.asked(question, seconds=SECONDS)
    except TooSlow as slow:
        raise FilterTooSlow() from slow
    except Ended as ended:
        raise problem(USED_UP) from ended
    return answer
