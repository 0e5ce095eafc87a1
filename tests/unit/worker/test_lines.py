"""What becomes of the bytes that user code prints."""

from hypothesis import given
from hypothesis import strategies as st

from services.worker.process.lines import LINE_BYTES, LINE_COST, LineCutter, OutputLog


def cut(*pieces: bytes) -> list[str]:
    cutter = LineCutter()
    found = [line for piece in pieces for line in cutter.feed(piece)]
    return found + cutter.end()


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), min_size=1)), st.data())
def test_lines_are_the_same_however_the_bytes_arrive(lines: list[str], data: st.DataObject) -> None:
    raw = "".join(f"{line}\n" for line in lines).encode()
    at = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    pieces = [raw[a:b] for a, b in zip([0, *at], [*at, len(raw)], strict=True)]
    assert cut(*pieces) == lines


@given(st.binary(max_size=3 * LINE_BYTES))
def test_any_bytes_become_short_valid_text(raw: bytes) -> None:
    for line in cut(raw[: len(raw) // 2], raw[len(raw) // 2 :]):
        assert line
        assert "\n" not in line
        assert len(line) <= LINE_BYTES
        line.encode()


def test_a_long_line_is_cut_between_characters() -> None:
    text = "ä" * LINE_BYTES  # two bytes each, so that a cut at a fixed byte could fall inside one
    lines = cut(b"x" + text.encode() + b"\n")
    assert "".join(lines) == "x" + text
    assert max(len(line.encode()) for line in lines) <= LINE_BYTES


def test_a_line_as_long_as_may_be_is_whole() -> None:
    assert cut(b"x" * LINE_BYTES) == ["x" * LINE_BYTES]
    assert cut(b"x" * LINE_BYTES + b"\n") == ["x" * LINE_BYTES]


def test_line_ends_blank_lines_and_formats_are_left_alone() -> None:
    assert cut(b"a\r\n\n%s %d {}\nlast") == ["a", "%s %d {}", "last"]
    assert cut(b"\xff\xfe\n") == ["\ufffd\ufffd"]


def test_beyond_the_limit_bytes_are_counted_and_told_once() -> None:
    got: list[tuple[str, str]] = []
    log = OutputLog(lambda stream, lines: got.extend((stream, line) for line in lines), limit_bytes=3 * (LINE_COST + 1))
    for number in range(10):
        log.feed("stdout", f"{number}\n".encode())
    log.end_attempt()
    log.end()
    assert [line for stream, line in got if stream == "stdout"] == ["0", "1", "2", "3"]
    assert got[-1][0] == "stderr"
    assert got[-1][1].startswith("datamill: 12 bytes of this datum's output were not logged")
    assert "WORKER_LOG_LIMIT_BYTES" in got[-1][1]


def test_below_the_limit_nothing_is_told() -> None:
    got: list[str] = []
    log = OutputLog(lambda _, lines: got.extend(lines), limit_bytes=1000)
    log.feed("stderr", b"one\ntw")
    log.feed("stdout", b"between")
    log.feed("stderr", b"o\n")
    log.end_attempt()
    log.end()
    assert got == ["one", "two", "between"]
