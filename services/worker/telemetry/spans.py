"""What a worker tells about its work, before it is put on the wire.

One trace a job: set > datum > download, process, upload. A line of log is an event on a short span called "log"
below the datum's span (below the set's when it belongs to no datum). services/jobs reads exactly this, see README.md
there.
"""

import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

_random = random.Random(os.urandom(16))  # ids need to differ, not to be secret
Attribute = str | bool | int | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpanId:
    """A span of a trace. trace: 16 bytes, span: 8 bytes, empty for the trace's root. wanted: whether anybody looks."""

    trace: bytes
    span: bytes
    wanted: bool = True

    def child(self) -> "SpanId":
        return SpanId(self.trace, _random.randbytes(8), self.wanted)


@dataclass(frozen=True, slots=True)
class Span:
    """A finished step. Times in nanoseconds since 1970."""

    name: str
    id: SpanId
    parent: bytes
    began: int
    ended: int
    attributes: Mapping[str, Attribute]
    error: str = ""


@dataclass(frozen=True, slots=True)
class LogContext:
    """What the lines of one datum, or of a set outside its datums, have in common."""

    parent: SpanId
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that came at one moment. stream: "stdout" or "stderr" for user code, "" for the worker's own words."""

    context: LogContext
    at: int
    stream: str
    texts: tuple[str, ...]


def sayable(text: str) -> str:
    """A text as messages can hold it: names of files need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def parent_from(traceparent: str) -> SpanId:
    """The span a W3C traceparent names; a new trace when it names none."""
    parts = traceparent.split("-")
    try:
        trace, span = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
        wanted = bool(int(parts[3], 16) & 1)
    except (IndexError, ValueError):
        trace, span, wanted = b"", b"", True
    if len(trace) != 16 or len(span) != 8:
        return SpanId(os.urandom(16), b"")
    return SpanId(trace, span, wanted)


def now() -> int:
    return time.time_ns()
