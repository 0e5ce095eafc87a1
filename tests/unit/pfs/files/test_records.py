"""Rows of tables in CSV and JSON files: tables of cases, and properties against the standard library's own writers."""

import csv
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pfs.domain.files.records import BadRecord, Format, Value, csv_rows, rows, texts

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)
PIECE = st.integers(1, 9)


def pieces(text: str, size: int) -> Iterator[str]:
    raw = text.encode()
    return texts("/f", (raw[at : at + size] for at in range(0, len(raw), size)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        ("a,b\r\n1,2", [["a", "b"], ["1", "2"]]),
        ('\ufeffa,,""\n', [["a", None, ""]]),
        ('"a,b","c""d"\n\n"x\ny",\n', [["a,b", 'c"d'], ["x\ny", None]]),
        ("", []),
        (",\n", [[None, None]]),
    ],
)
def test_csv_is_read_with_missing_and_empty_told_apart(text: str, found: list[list[str | None]]) -> None:
    assert list(csv_rows("/f", pieces(text, 3))) == found


@given(st.lists(st.lists(TEXT.filter(lambda text: text.strip() == text), min_size=2, max_size=3)), PIECE)
def test_whatever_was_written_as_csv_is_read_again(table: list[list[str]], size: int) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(table)
    assert list(csv_rows("/f", pieces(out.getvalue(), size))) == table


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.booleans() | TEXT | st.integers())), PIECE)
def test_whatever_was_written_as_json_is_read_again(table: list[dict[str, object]], size: int) -> None:
    text = "\n".join(map(json.dumps, table))
    found = list(rows("/f", Format.JSON, pieces(text, size), ["c", "a"], header=False))
    assert found == [[plain(row.get("c")), plain(row.get("a"))] for row in table]


def plain(value: object) -> Value:
    return value if value is None or isinstance(value, bool | str) else str(value)


def test_numbers_keep_their_digits_and_nested_values_stay_json() -> None:
    text = '{"a": 0.10000000000000000001, "b": {"c": [1, 2.5]}}{"a": 12345678901234567890}'
    found = list(rows("/f", Format.JSON, [text], ["a", "b"], header=False))
    assert found == [["0.10000000000000000001", '{"c": [1, 2.5]}'], ["12345678901234567890", None]]


def test_a_header_says_where_the_wanted_columns_are() -> None:
    found = rows("/f", Format.CSV, ["c,a,b\n1,2,3\n"], ["a", "c"], header=True)
    assert list(found) == [["2", "1"]]


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        (Format.CSV, "a,b\n1\n", "/f: row 2: it has 1 fields, and not 2"),
        (Format.CSV, "a\n", "/f: row 1: the header has no column 'b'"),
        (Format.CSV, 'a,"b', "a quotation mark is left open"),
        (Format.CSV, '"a"b,b', "text follows a quoted field"),
        (Format.CSV, 'x"y"z,b', "a quotation mark stands inside a field"),
        (Format.JSON, '{"a": 1}[1]', "/f: row 2: it is no object"),
        (Format.JSON, '{"a": 1', "/f: row 1: it is no JSON, or cut short"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(kind: Format, text: str, why: str) -> None:
    with pytest.raises(BadRecord, match=why):
        list(rows("/f", kind, [text], ["a", "b"], header=True))


def test_a_file_that_is_not_in_utf_8_is_refused() -> None:
    with pytest.raises(BadRecord, match="not in UTF-8"):
        list(texts("/f", [b"\xff"]))
