"""Rows of tables as files hold them: CSV and JSON, read piece by piece.

CSV: as RFC 4180; an empty field is no value (None), a quoted empty one is the empty text. Blank lines are passed over.
JSON: objects one after the other, with or without line ends between; numbers keep the digits they are written with.
Elsewhere: which file fills which table (operations/egress).
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from services.kit.errors import Problem

Value = str | bool | None
LONGEST = 16 << 20
"""Characters of a row, at most."""
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


class Format(Enum):
    CSV = "CSV"
    JSON = "JSON"


class BadRecord(Problem):
    """A file whose rows cannot be read, or do not fit."""

    def __init__(self, path: str, row: int, why: str) -> None:
        super().__init__(f"{path}: row {row}: {why}")


def texts(path: str, pieces: Iterable[bytes]) -> Iterator[str]:
    """Pieces of UTF-8 as text, without the mark that some programs begin with. Raises BadRecord."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        for piece in pieces:
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise BadRecord(path, 0, "the file is not in UTF-8") from error


def rows(path: str, kind: Format, pieces: Iterable[str], wanted: Sequence[str], header: bool) -> Iterator[list[Value]]:
    """The values of the wanted columns, row by row. Raises BadRecord.

    header: of CSV, whether the first row names the columns; otherwise each row holds the wanted ones in their order.
    """
    if kind is Format.JSON:
        return _from_objects(path, pieces, wanted)
    return _from_fields(path, pieces, wanted, header)


def _from_fields(path: str, pieces: Iterable[str], wanted: Sequence[str], header: bool) -> Iterator[list[Value]]:
    places = list(range(len(wanted)))
    width = len(wanted)
    for number, fields in enumerate(csv_rows(path, pieces), 1):
        if header and number == 1:
            missing = [name for name in wanted if name not in fields]
            if missing:
                raise BadRecord(path, number, f"the header has no column {missing[0]!r}")
            places, width = [fields.index(name) for name in wanted], len(fields)
            continue
        if len(fields) != width:
            raise BadRecord(path, number, f"it has {len(fields)} fields, and not {width}")
        yield [fields[place] for place in places]


def _from_objects(path: str, pieces: Iterable[str], wanted: Sequence[str]) -> Iterator[list[Value]]:
    for found in json_rows(path, pieces):
        yield [_plain(found.get(name)) for name in wanted]


def csv_rows(path: str, pieces: Iterable[str]) -> Iterator[list[str | None]]:
    """The fields of each row. Raises BadRecord."""
    waiting = ""
    for number, line in enumerate(_lines(path, pieces), 1):
        waiting += line
        if waiting.count('"') % 2:  # a quoted field goes on in the next line
            if len(waiting) > LONGEST:
                raise BadRecord(path, number, "it is too long; is a quotation mark left open?")
            continue
        row, waiting = waiting.rstrip("\r\n"), ""
        if row:
            yield _fields(path, number, row) if '"' in row else [field or None for field in row.split(",")]
    if waiting:
        raise BadRecord(path, number, "a quotation mark is left open")


def json_rows(path: str, pieces: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The objects of a file. Raises BadRecord."""
    decoder = json.JSONDecoder(parse_float=_Exact)
    buffer, at, number = "", 0, 1
    for piece in pieces:
        buffer, at = buffer[at:] + piece, 0
        while (at := _past_space(buffer, at)) < len(buffer):
            try:
                found, after = decoder.raw_decode(buffer, at)
            except json.JSONDecodeError as error:
                if len(buffer) - at > LONGEST:
                    raise BadRecord(path, number, f"it is no JSON: {error.msg}") from error
                break  # perhaps the rest of it is still to come
            if not isinstance(found, dict):
                raise BadRecord(path, number, "it is no object")
            yield found
            at, number = after, number + 1
    if _past_space(buffer, at) < len(buffer):
        raise BadRecord(path, number, "it is no JSON, or cut short")


class _Exact(float):
    """A number that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> "_Exact":
        made = super().__new__(cls, text)
        made.text = text
        return made


def _plain(value: Any) -> Value:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, _Exact):
        return value.text
    return str(value) if isinstance(value, int | float) else json.dumps(value)


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _lines(path: str, pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        lines = (rest + piece).split("\n")
        rest = lines.pop()
        if len(rest) > LONGEST:
            raise BadRecord(path, 0, "a line is too long")
        for line in lines:
            yield line + "\n"
    if rest:
        yield rest


def _fields(path: str, number: int, row: str) -> list[str | None]:
    found: list[str | None] = []
    at = 0
    while True:
        quoted = _QUOTED.match(row, at)
        if quoted is not None:
            found.append(quoted[1].replace('""', '"'))
            at = quoted.end()
            if at < len(row) and row[at] != ",":
                raise BadRecord(path, number, "text follows a quoted field")
        else:
            end = row.find(",", at)
            end = len(row) if end < 0 else end
            if '"' in row[at:end]:
                raise BadRecord(path, number, "a quotation mark stands inside a field")
            found.append(row[at:end] or None)
            at = end
        if at == len(row):
            return found
        at += 1
