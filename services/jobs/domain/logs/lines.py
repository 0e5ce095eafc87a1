"""Log lines: whose they are, how they are packed into messages, and which of them a reader wants."""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

NONE = "_"
LINE_COST = 32
LETTER_BYTES = 6  # what JSON may make of a character, at most
_PLAIN = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class LogScope:
    """Whose lines. job, datum: "" outside of one."""

    project: str
    pipeline: str
    job: str
    datum: str

    @property
    def subject(self) -> str:
        return ".".join(("logs", *map(token, (self.project, self.pipeline, self.job, self.datum))))


def subject_of(project: str = "", pipeline: str = "", job: str = "", datum: str = "", *, services: bool = False) -> str:
    """A filter: what is empty matches anything. services: lines of the services, which belong to no project."""
    parts = [token(text) if text else "*" for text in (project, pipeline, job, datum)]
    return ".".join(("logs", *([NONE, *parts[1:]] if services else parts)))


def token(text: str) -> str:
    """A name as one token of a subject."""
    if _PLAIN.fullmatch(text):
        return text
    if text in ("", NONE):
        return _escaped(text) or NONE
    return "".join(
        one if one.isascii() and (one.isalnum() or one == "-" or one == "_") else _escaped(one) for one in text
    )


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def untoken(text: str) -> str:
    """The name behind a token."""
    if text == NONE:
        return ""
    raw, at = bytearray(), 0
    while at < len(text):
        if text[at] == "%":
            raw.append(int(text[at + 1 : at + 3], 16))
            at += 3
        else:
            raw += text[at].encode()
            at += 1
    return raw.decode()


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Lines that came together. lines: (nanoseconds since 1970, text). id: equal for equal batches, "" for none."""

    scope: LogScope
    worker: str
    user: bool
    master: bool
    paths: tuple[str, ...]
    hashes: tuple[str, ...]
    """Of the datum's inputs, as hex, in the order of `paths`."""
    lines: tuple[tuple[int, str], ...]
    id: str = ""

    def payload(self) -> bytes:
        fields: dict[str, Any] = {"w": self.worker, "u": self.user, "m": self.master, "l": self.lines}
        if self.paths:
            fields |= {"p": self.paths, "h": self.hashes}
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()

    def matches(self, filters: Sequence[str]) -> bool:
        """Whether every filter names an input: by path, or by hash as hex or base64."""
        if not filters:
            return True
        names = {*self.paths, *self.hashes}
        names |= {base64.b64encode(bytes.fromhex(hash)).decode() for hash in self.hashes}
        return all(wanted in names for wanted in filters)


@dataclass(frozen=True, slots=True)
class Message:
    """A batch as it is stored. number: ascending, and never given again, in one stream."""

    number: int
    subject: str
    payload: bytes

    @property
    def batch(self) -> LogBatch:
        return batch_from(self.subject, json.loads(self.payload))


def scope_from(subject: str) -> LogScope:
    """Whose lines a message with this subject holds."""
    _, project, pipeline, job, datum = subject.split(".")
    return LogScope(*map(untoken, (project, pipeline, job, datum)))


def batch_from(subject: str, fields: dict[str, Any]) -> LogBatch:
    """A stored message."""
    lines = tuple((at, text) for at, text in fields["l"])
    return LogBatch(
        scope_from(subject),
        fields["w"],
        fields["u"],
        fields["m"],
        tuple(fields.get("p", ())),
        tuple(fields.get("h", ())),
        lines,
    )


def in_parts(batch: LogBatch, most_bytes: int) -> Iterator[LogBatch]:
    """The batch, in pieces that each take at most so many bytes, or hold one line."""
    if sum([LETTER_BYTES * len(text) + LINE_COST for _, text in batch.lines]) <= most_bytes:
        yield batch
        return
    part: list[tuple[int, str]] = []
    size = 0
    for at, text in batch.lines:
        for piece in _pieces(text, most_bytes):
            cost = len(json.dumps(piece, ensure_ascii=False).encode()) + LINE_COST
            if part and size + cost > most_bytes:
                yield replace(batch, lines=tuple(part))
                part, size = [], 0
            part.append((at, piece))
            size += cost
    if part:
        yield replace(batch, lines=tuple(part))


def _pieces(text: str, most_bytes: int) -> Iterator[str]:
    """A line longer than a message is cut."""
    step = max(1, most_bytes // LETTER_BYTES)
    if len(text) <= step:
        yield text
    else:
        yield from (text[at : at + step] for at in range(0, len(text), step))
