"""For user code that does many datums in one process (`transform.datumBatching`): start once, load the model once.

    from datamill.batching import each_datum

    model = load()                       # once a process

    @each_datum
    def judge(datum):                    # once a datum: its files are in /pfs, its variables in os.environ
        ...

    judge()                              # does not come back: the worker ends the process after the last datum

`for datum in datums(): …` does the same without a function; there an exception that leaves the loop ends the process,
and the worker counts that as a failed attempt, too. Decided here: what a datum's end is. Elsewhere: what is tried again
and how often (the worker, by the pipeline's spec); the call itself (next_datum.py). Loads neither grpcio nor protobuf.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from datamill.next_datum import CallFailed, NextDatum

PORT = "PPS_WORKER_GRPC_PORT"
OUT = Path("/pfs/out")


@dataclass(frozen=True)
class Datum:
    """The datum in hand. env: its variables; those of the datum before are gone."""

    id: str
    env: dict[str, str]

    def path(self, input: str) -> Path:
        """The file or directory that an input has in this datum. Raises KeyError when it has none (outer joins)."""
        return Path(self.env[input])


def datums() -> Iterator[Datum]:
    """Each datum of the worker, one after another, without end: coming back for the next says that the one before is
    done, and what is in /pfs/out is kept. Raises Refused outside of a worker."""
    with _worker() as worker:
        while True:
            yield worker.next_datum("")


def each_datum(function: Callable[[Datum], object]) -> Callable[[], NoReturn]:
    """Call a function for each datum, without end. What it raises is printed and fails the attempt."""

    def run() -> NoReturn:
        error = ""
        with _worker() as worker:
            while True:
                datum = worker.next_datum(error)
                error = ""
                try:
                    function(datum)
                except Exception as failure:  # noqa: BLE001 - whatever it is, this datum has failed and others may not
                    traceback.print_exc()
                    error = f"{type(failure).__name__}: {failure}"
                sys.stdout.flush()  # what it printed belongs to this datum

    run.__name__, run.__doc__ = getattr(function, "__name__", "run"), function.__doc__
    return run


class _Worker:
    """The worker beside this process."""

    def __init__(self, port: int) -> None:
        try:
            self._calls = NextDatum(port)
        except CallFailed as failed:
            raise _meant(failed) from failed
        self._variables = _Variables()
        self._env: dict[str, str] = {}  # what the datum in hand has set
        self._before: dict[str, str | None] = {}  # what was there instead

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._calls.close()

    def next_datum(self, error: str) -> Datum:
        """End the datum in hand, with an error unless that is empty, and wait for the next."""
        try:
            answer = self._calls.ask(error)
        except CallFailed as failed:
            raise _meant(failed) from failed
        env = self._variables.read(answer)
        self._put(env)
        return Datum(env.get("PACH_DATUM_ID", ""), env)

    def _put(self, env: dict[str, str]) -> None:
        """Most of it is the same for every datum, and stays as it is: changing a variable costs as much as a datum."""
        for name in self._env.keys() - env.keys():
            before = self._before.pop(name)
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before
        for name, value in env.items():
            if self._env.get(name) != value:
                self._before.setdefault(name, os.environ.get(name))
                os.environ[name] = value
        self._env = env


class _Variables:
    """Reads NextDatumResponse, a message of one repeated field. What answers begin with alike is read once."""

    def __init__(self) -> None:
        self._last: set[tuple[bytes, int]] = set()
        self._alike = b""  # most of an answer: the variables that are the same for every datum
        self._env: dict[str, str] = {}  # what that says

    def read(self, answer: bytes) -> dict[str, str]:
        if self._alike and answer.startswith(self._alike):
            return {**self._env, **_env(line for line, _ in _lines(answer, len(self._alike)))}
        lines = list(_lines(answer, 0))
        alike = list(takewhile(lambda line: line in self._last, lines))
        self._last = set(lines)
        self._env = _env(line for line, _ in alike)
        self._alike = answer[: alike[-1][1]] if alike else b""
        return _env(line for line, _ in lines)


def _lines(answer: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    """Each entry of the field with where it ends, from `at` on."""
    while at < len(answer):
        length = answer[at + 1]  # after the field's number
        at += 2
        if length & 0x80:  # a length of several bytes, seven bits in each
            length, shift = length & 0x7F, 7
            while True:
                length |= (answer[at] & 0x7F) << shift
                shift += 7
                at += 1
                if not answer[at - 1] & 0x80:
                    break
        yield answer[at : at + length], at + length
        at += length


def _env(lines: Iterable[bytes]) -> dict[str, str]:
    return dict(line.decode("utf-8", "surrogateescape").partition("=")[::2] for line in lines)


def _meant(failed: CallFailed) -> Exception:
    """What a failed call means. Loads grpcio, which takes longer than ten thousand calls."""
    import grpc  # noqa: PLC0415

    from datamill.errors import KINDS, Failed  # noqa: PLC0415

    code = next((code for code in grpc.StatusCode if code.value[0] == failed.code), grpc.StatusCode.UNKNOWN)
    return KINDS.get(code, Failed)(failed.message, code)


def _worker() -> _Worker:
    port = os.environ.get(PORT)
    if not port:
        from datamill.errors import Refused  # noqa: PLC0415 - as above

        raise Refused(f"{PORT} is not set: datums are given to the code of a pipeline with transform.datumBatching")
    return _Worker(int(port))
