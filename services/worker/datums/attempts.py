"""A datum while it is being worked on: up to `tries` attempts, each with fresh inputs and an empty /pfs/out.

What user code does wrong (its exit, its timeout, output that cannot be stored) fails the attempt or the datum. What
stores and services do wrong is Trouble and is never held against the datum.
Elsewhere: one run of a command (process/running.py); one process for many datums (batching/); what becomes of the
outputs (results.py).
"""

import time
from contextlib import suppress
from pathlib import Path

from datamill.wire import work_v1_pb2 as work
from services.worker.activity import Doing
from services.worker.datums.bench import Bench, SetInHand
from services.worker.datums.results import SHOWN_INPUTS, Effort, Outcome, Taking
from services.worker.inputs.layout import LaidOut
from services.worker.inputs.pipes import Pipes
from services.worker.inputs.prefetch import Gone
from services.worker.peers.calls import Trouble
from services.worker.process import environment
from services.worker.process.lines import OutputLog
from services.worker.process.running import End, Ended, run
from services.worker.process.starting import Command, OutOfProcesses
from services.worker.telemetry.spans import Attribute, LogContext, Span, SpanId, now

USER_CODE, ERROR_CODE = "user code", "user error handling code"


class DatumRun:
    """All attempts at one datum: begin, end, begin, end, … result, close."""

    def __init__(self, bench: Bench, hand: SetInHand, index: int) -> None:
        self._bench = bench
        self._hand = hand
        self._index = index
        self._datum = hand.datum_set.datums[index]
        self._span = hand.span.child()
        self._log_context: LogContext | None = None  # made when there is something to log
        self.output = OutputLog(self._emit, limit_bytes=bench.log_limit_bytes)
        self.deadline: float | None = None
        self._began = self._attempt_began = now()
        self._clock = 0.0
        self._tries = 0
        self._laid: LaidOut | None = None
        self._pipes: Pipes | None = None
        self._variables: list[tuple[str, str]] = []  # what it adds to the worker's own
        self._env = self._hand.env  # that and what its set adds
        self._effort = Effort()
        self._outcome = Outcome("")

    @property
    def wants_attempt(self) -> bool:
        """Whether it has neither succeeded nor used up its tries."""
        return self._tries == 0 or (bool(self._outcome.reason) and self._tries < self._bench.spec.tries)

    @property
    def answer(self) -> bytes:
        """Its environment as a NextDatumResponse: parts of a message of one repeated field make a whole one."""
        return self._bench.rendered_env.answer + self._env.answer

    def begin(self) -> None:
        """Show the datum in /pfs. Raises Trouble, or Gone when the set is lost."""
        bench = self._bench
        if self._laid is None:
            self._laid = self._hand.prefetch.take(self._index)
        elif self._tries:
            self._laid.remove()
            self._laid = self._hand.prefetch.again(self._index)
        self._tries += 1
        self._variables = environment.of_datum(self._datum, root=bench.scratch.root)
        self._env = environment.rendered(self._variables) + self._hand.env
        self._effort.env_file = bench.rendered_env.file + self._env.file
        bench.scratch.fresh_out()
        names = frozenset([item.name for item in self._datum.inputs])
        bench.scratch.link(self._laid.place, names, self._effort.env_file, made=self._laid.folders)
        self._open_pipes(self._laid)
        timeout = bench.spec.timeout
        self._clock = time.monotonic()
        self.deadline = None if timeout is None else self._clock + timeout
        self._attempt_began = now()
        bench.activity.begin(Doing(self._hand.datum_set.job, self._datum, self._attempt_began))

    def user_code(self) -> str:
        """Run the command for this datum alone. Returns why it failed, or ""."""
        spec = self._bench.spec
        return self._run(USER_CODE, spec.cmd, "stdin" if spec.stdin else "")

    def end(self, reason: str, *, quiet: bool = False) -> None:
        """The attempt is over. reason: why it failed, or "". Runs the error handler when there is need.

        quiet: do not say so in the log. In a batch nothing was started for this datum, and nothing ended.
        """
        bench = self._bench
        try:
            if not quiet:
                self.tell_end(USER_CODE, self._clock, reason)
            if reason and bench.spec.err_cmd and not bench.interrupt.cancelled and self._time_left():
                handled = self._handle()
                self._outcome.recovered = self._outcome.recovered or handled
        finally:
            bench.activity.end()
            self._close_pipes()
        self._outcome.reason = reason
        self._effort.process_ns = now() - self._attempt_began
        if self._span.wanted:
            self._trace("process", self._span.child(), self._span.span, self._attempt_began, reason)

    def result(self) -> work.DatumResult:
        """Take its outputs. Raises Trouble."""
        assert self._laid is not None
        taking = Taking(self._bench, self._hand, self._index, self._laid, self._effort, self._say)
        result = taking.result(self._outcome)
        if self._span.wanted:
            self._trace_download(self._laid)
            self._trace("datum", self._span, self._hand.span.span, self._began, self._outcome.reason)
        return result

    def close(self) -> None:
        """It is over, however it went: leave nothing of it on disk."""
        self._bench.activity.end()
        with suppress(Trouble):  # what matters of it has been said
            self._close_pipes()
        self.output.end()
        if self._laid is not None:
            with suppress(OSError):  # it goes when all of the set does
                self._laid.remove()

    def _open_pipes(self, laid: LaidOut) -> None:
        if laid.lazy:
            source = self._hand.prefetch.source()
            interrupt, run_as = self._bench.interrupt, self._bench.scratch.run_as
            self._pipes = Pipes(laid.lazy, laid.place, source, run_as, interrupt.cancel)

    def _close_pipes(self) -> None:
        """Raises Trouble when a file that user code had opened could not be had."""
        pipes, self._pipes = self._pipes, None
        if pipes is not None:
            self._effort.lazy_bytes = pipes.size_bytes
            pipes.close()

    def tell_begin(self, what: str) -> None:
        self._say(f"beginning to run {what}")

    def tell_end(self, what: str, began: float, reason: str) -> None:
        took = f"{time.monotonic() - began:.3f}s"
        self._say(
            f"errored running {what} after {took}: {reason}" if reason else f"finished running {what} after {took}"
        )

    def judged(self, ended: Ended) -> str:
        """Why an end of user code means failure, or ""."""
        if ended.how is End.LOST:
            raise Gone(ended.reason)
        if ended.how is End.EXITED and (ended.code == 0 or ended.code in self._bench.spec.accepted_codes):
            return ""
        if ended.how is End.TIMED_OUT:
            return f"the datum timeout of {self._bench.spec.timeout:g}s was exceeded"
        return ended.reason

    def _handle(self) -> bool:
        """Run the error handler. Returns whether it made good."""
        spec = self._bench.spec
        began = time.monotonic()
        reason = self._run(ERROR_CODE, spec.err_cmd, "err_stdin" if spec.err_stdin else "")
        self.tell_end(ERROR_CODE, began, reason)
        return not reason

    def _run(self, what: str, argv: tuple[str, ...], stdin: str) -> str:
        bench = self._bench
        self.tell_begin(what)
        spool = Path(bench.scratch.spool(stdin)) if stdin else None
        command = Command(argv, spool, bench.spec.working_dir, bench.spec.run_as)
        try:
            ended = run(
                command,
                {**bench.base_env, **dict(self._variables), **dict(self._hand.variables)},
                self.output,
                bench.exporter,
                bench.interrupt,
                self.deadline,
            )
        except OutOfProcesses as error:
            raise Trouble(f"no process could be started: {error.strerror}") from error
        return self.judged(ended)

    def _time_left(self) -> bool:
        return self.deadline is None or time.monotonic() < self.deadline

    def _attributes(self) -> dict[str, Attribute]:
        shown = self._datum.inputs[:SHOWN_INPUTS]
        return {
            "datamill.job": self._hand.datum_set.job.id,
            "datamill.datum": self._datum.id,
            "datamill.data.paths": tuple(item.file.path for item in shown),
            "datamill.data.hashes": tuple(item.digest.hex() for item in shown),
        }

    def _context(self) -> LogContext:
        if self._log_context is None:
            self._log_context = LogContext(self._span, self._attributes())
        return self._log_context

    def _emit(self, stream: str, lines: list[str]) -> None:
        self._bench.exporter.lines(self._context(), stream, lines)

    def _say(self, text: str) -> None:
        self._bench.exporter.say(self._context(), text)

    def _trace_download(self, laid: LaidOut) -> None:
        attributes: dict[str, Attribute] = {"datamill.bytes": laid.size_bytes, "datamill.files": len(laid.files)}
        span = Span("download", self._span.child(), self._span.span, laid.began, laid.ended, attributes)
        self._bench.exporter.span(span)

    def _trace(self, name: str, span: SpanId, parent: bytes, began: int, error: str) -> None:
        attributes: dict[str, Attribute] = {
            "datamill.job": self._hand.datum_set.job.id,
            "datamill.datum": self._datum.id,
        }
        self._bench.exporter.span(Span(name, span, parent, began, now(), attributes, error))


def one_by_one(bench: Bench, hand: SetInHand) -> list[work.DatumResult]:
    """A process for each attempt. Raises Trouble, or Gone when the set is lost."""
    results = []
    for index in range(len(hand.datum_set.datums)):
        datum = DatumRun(bench, hand, index)
        try:
            while datum.wants_attempt:
                datum.begin()
                datum.end(datum.user_code())
            results.append(datum.result())
        finally:
            datum.close()
    return results
