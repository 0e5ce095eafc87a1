"""A whole set by one process of user code, which asks for each datum by NextDatum.

A call means: the datum in hand is done (or failed, with the caller's words), give me the next. The first call of a
process only says that it is ready. Whatever fails an attempt ends the process; a new one gets the same datum again,
or the next one when its tries are used up. After the last datum the process is killed while it waits, and that is
success. A process that ends before it has asked for anything is no datum's fault: the set is given back.
Elsewhere: what a call is (asked.py), attempts and results (datums/).
"""

from pathlib import Path

from datamill.wire import work_v1_pb2 as work
from services.worker.batching.asked import Asked, AskedInTurn
from services.worker.datums.attempts import USER_CODE, DatumRun
from services.worker.datums.bench import Bench, SetInHand
from services.worker.inputs.prefetch import Gone
from services.worker.peers.calls import Trouble
from services.worker.process.lines import OutputLog
from services.worker.process.running import End, Ended, UserProcess
from services.worker.process.starting import Command, NotStarted, OutOfProcesses
from services.worker.serving.server import Server
from services.worker.telemetry.spans import LogContext


class Batch:
    """One set in hand."""

    def __init__(self, bench: Bench, hand: SetInHand, asked: AskedInTurn, server: Server) -> None:
        self._bench = bench
        self._hand = hand
        self._asked = asked
        self._server = server
        self._process: UserProcess | None = None
        self._call: Asked | None = None  # taken, and not answered yet
        self._between = OutputLog(self._emit, limit_bytes=bench.log_limit_bytes)
        self._log_context = LogContext(hand.span, {"datamill.job": hand.datum_set.job.id})

    def run(self) -> list[work.DatumResult]:
        """Raises Trouble, or Gone when the set is lost."""
        self._server.take_over(True)
        try:
            return [self._datum(index) for index in range(len(self._hand.datum_set.datums))]
        finally:
            self._server.take_over(False)
            self._end_process()
            self._between.end()

    def _datum(self, index: int) -> work.DatumResult:
        datum = DatumRun(self._bench, self._hand, index)
        try:
            while datum.wants_attempt:
                why_not = self._ready()
                datum.begin()
                reason = why_not or self._attempt(datum)
                if reason:
                    self._end_process()
                datum.end(reason, quiet=not reason)
            return datum.result()
        finally:
            if self._process is not None:
                self._process.hear(self._between)
            datum.close()

    def _ready(self) -> str:
        """Wait until user code asks for a datum, starting it if need be. Returns why it cannot be started, or ""."""
        if self._call is not None:
            return ""
        self._bench.interrupt.begin_attempt()
        if self._process is None:
            try:
                self._process = self._start()
            except NotStarted as why:
                return str(why)
        ended = self._next_event(self._process, None)
        if ended is None:
            return ""
        if ended.how is End.LOST:
            raise Gone(ended.reason)
        raise Trouble(f"user code ended before it asked for a datum: {ended.reason}")

    def _attempt(self, datum: DatumRun) -> str:
        """Answer the call that waits, and wait for the next. Returns why the attempt failed, or ""."""
        assert self._process is not None
        assert self._call is not None
        self._process.hear(datum.output)
        call, self._call = self._call, None
        call.answer(datum.answer)
        ended = self._next_event(self._process, datum.deadline)
        if ended is not None:
            return datum.judged(ended) or "user code exited prematurely"
        return self._said()

    def _said(self) -> str:
        return "" if self._call is None else self._call.error

    def _next_event(self, process: UserProcess, deadline: float | None) -> Ended | None:
        """Wait for a call, which is then in `_call` (None), or for the end of the process."""
        self._server.watch(True)
        try:
            while (call := self._asked.take()) is None:
                stopped = process.wait(deadline, or_for=self._server.fd)
                if stopped is not None:
                    return stopped
                if process.exited:
                    return self._end_process()
                self._server.turn()
        finally:
            self._server.watch(False)
        self._call = call
        return None

    def _start(self) -> UserProcess:
        bench = self._bench
        bench.scratch.unlink()
        env = {**bench.base_env, **dict(self._hand.variables)}
        stdin = Path(bench.scratch.spool("stdin")) if bench.spec.stdin else None
        command = Command(bench.spec.cmd, stdin, bench.spec.working_dir, bench.spec.run_as)
        self._asked.open()
        bench.exporter.say(self._log_context, f"beginning to run {USER_CODE}")
        try:
            return UserProcess(command, env, self._between, bench.exporter, bench.interrupt)
        except OutOfProcesses as error:
            raise Trouble(f"no process could be started: {error.strerror}") from error

    def _end_process(self) -> Ended | None:
        process, self._process = self._process, None
        ended = process.end() if process is not None else None
        if self._call is not None:
            self._call.drop()
            self._call = None
        self._asked.drop_all()
        return ended

    def _emit(self, stream: str, lines: list[str]) -> None:
        self._bench.exporter.lines(self._log_context, stream, lines)
