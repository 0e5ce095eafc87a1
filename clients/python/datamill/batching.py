"""For user code that does many datums in one process (`transform.datumBatching`): start once, load the model once.

    from datamill.batching import each_datum

    model = load()                       # once a process

    @each_datum
    def judge(datum):                    # once a datum: its files are in /pfs, its variables in os.environ
        ...

    judge()                              # does not come back: the worker ends the process after the last datum

`for datum in datums(): …` does the same without a function; there an exception that leaves the loop ends the process,
and the worker counts that as a failed attempt, too. Decided here: what a datum's end is. Elsewhere: what is tried again
and how often (the worker, by the pipeline's spec). Needs grpcio and protobuf, and nothing of a server.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import grpc

from datamill.errors import Refused, translated
from datamill.wire import worker_pb2, worker_pb2_grpc

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

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._stub = worker_pb2_grpc.WorkerStub(self._channel)
        self._env: dict[str, str] = {}  # what the datum in hand has set
        self._before: dict[str, str | None] = {}  # what was there instead

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._channel.close()

    def next_datum(self, error: str) -> Datum:
        """End the datum in hand, with an error unless that is empty, and wait for the next."""
        try:
            answer = self._stub.NextDatum(worker_pb2.NextDatumRequest(error=error), wait_for_ready=True)
        except grpc.RpcError as refused:
            raise translated(refused, self._address) from refused
        env = dict(line.partition("=")[::2] for line in answer.env)
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


def _worker() -> _Worker:
    port = os.environ.get(PORT)
    if not port:
        raise Refused(f"{PORT} is not set: datums are given to the code of a pipeline with transform.datumBatching")
    return _Worker(f"localhost:{port}")
