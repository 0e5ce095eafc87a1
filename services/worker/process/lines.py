"""From what a process prints to lines of log: where a line ends, what is too long, what is too much.

A line is valid UTF-8 without its end, at most 32 KiB; longer ones are cut. Blank lines are left out, for a log
message is never empty. Beyond a limit per datum, bytes are counted and dropped, and one last line says so. A line
counts as its bytes and LINE_COST more, which is about what carrying it takes: else a million empty-ish lines would
be nearly free.
"""

from collections.abc import Callable

LINE_BYTES = 32 << 10
LINE_COST = 100
Emit = Callable[[str, list[str]], None]  # stream, lines


class LineCutter:
    """Cuts one stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._rest += data
            return self._overlong()
        lines = (self._rest + whole).split(b"\n")
        self._rest = rest
        found: list[str] = []
        for line in lines:
            found += _texts(line)
        return found + self._overlong()

    def end(self) -> list[str]:
        """What is left when the stream ends without a newline."""
        rest, self._rest = self._rest, b""
        return _texts(rest)

    def _overlong(self) -> list[str]:
        found: list[str] = []
        while len(self._rest) > LINE_BYTES:
            cut = _cut_point(self._rest)
            found.append(self._rest[:cut].decode("utf-8", "replace"))
            self._rest = self._rest[cut:]
        return found


def _texts(line: bytes) -> list[str]:
    line = line.removesuffix(b"\r")
    found: list[str] = []
    while len(line) > LINE_BYTES:
        cut = _cut_point(line)
        found.append(line[:cut].decode("utf-8", "replace"))
        line = line[cut:]
    if line:
        found.append(line.decode("utf-8", "replace"))
    return found


def _cut_point(line: bytes) -> int:
    for back in range(4):  # never inside a character, when it is UTF-8 at all
        if line[LINE_BYTES - back] & 0xC0 != 0x80:
            return LINE_BYTES - back
    return LINE_BYTES


class OutputLog:
    """The output of one datum, all attempts together."""

    def __init__(self, emit: Emit, *, limit_bytes: int) -> None:
        self._emit = emit
        self._limit = limit_bytes
        self._used = 0
        self._dropped = 0
        self._cutters = {"stdout": LineCutter(), "stderr": LineCutter()}

    def feed(self, stream: str, data: bytes) -> None:
        if self._used > self._limit:
            self._dropped += len(data)
            return
        self._send(stream, self._cutters[stream].feed(data))

    def drop(self, data: bytes) -> None:
        """Bytes that could not be kept because the log's receiver stayed away too long."""
        self._dropped += len(data)

    def end_attempt(self) -> None:
        """A process ended: what it left unterminated is a line of its own."""
        for stream, cutter in self._cutters.items():
            self._send(stream, cutter.end())

    def end(self) -> None:
        """Say how much is missing, if anything is."""
        if self._dropped:
            self._emit(
                "stderr",
                [
                    f"datamill: {self._dropped} bytes of this datum's output were not logged: a datum may log"
                    f" {self._limit} bytes; set WORKER_LOG_LIMIT_BYTES for the workers to raise it"
                ],
            )

    def _send(self, stream: str, lines: list[str]) -> None:
        if lines:
            self._used += sum(map(len, lines)) + LINE_COST * len(lines)
            self._emit(stream, lines)
