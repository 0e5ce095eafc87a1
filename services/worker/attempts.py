"""A datum from its laid-out inputs to its result: up to `tries` attempts, the error handler, the outputs.

What user code does wrong (its exit, its timeout, output that cannot be stored) fails the attempt or the datum. What
stores and services do wrong is Trouble and is never held against the datum.
Elsewhere: one run of a command (process/running.py); what happens with a set's results (sets.py).
"""

import errno
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from datamill.wire import content_v1_pb2 as content
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.worker.activity import Activity, Doing
from services.worker.calls import Trouble
from services.worker.inputs.layout import LaidOut
from services.worker.inputs.prefetch import Gone, Prefetch
from services.worker.inputs.scratch import Scratch, remove
from services.worker.outputs import meta
from services.worker.outputs.collecting import BadOutput, collect
from services.worker.outputs.entries import Entries
from services.worker.outputs.packing import Packing
from services.worker.process import environment
from services.worker.process.interrupt import Interrupt
from services.worker.process.lines import OutputLog
from services.worker.process.running import Command, End, Ended, OutOfProcesses, run
from services.worker.spec import WorkerSpec
from services.worker.telemetry.exporter import Exporter
from services.worker.telemetry.spans import Attribute, LogContext, Span, SpanId, now

NAMES_BYTES = 16 << 20  # of all outputs of a set: their names travel in one message
SHOWN_INPUTS = 100  # of a datum's inputs, how many a log line can be found by
SUCCESS, FAILED, RECOVERED = pps.DatumState.SUCCESS, pps.DatumState.FAILED, pps.DatumState.RECOVERED


@dataclass(frozen=True, slots=True)
class Bench:
    """What is the same for every datum of a worker."""

    spec: WorkerSpec
    scratch: Scratch
    exporter: Exporter
    interrupt: Interrupt
    activity: Activity
    base_env: dict[str, str]
    log_limit_bytes: int


@dataclass(slots=True)
class NameBudget:
    """How many bytes of output names a set may still hand in."""

    left: int = NAMES_BYTES

    def take(self, paths: list[str]) -> None:
        """Raises BadOutput when they do not fit."""
        size = sum(len(path) + 4 for path in paths)
        if size > self.left:
            raise BadOutput(
                f"the names of a datum set's output files take more than {NAMES_BYTES >> 20} MiB:"
                " write fewer files, or put fewer datums into a set (datum_set_spec)"
            )
        self.left -= size


@dataclass(frozen=True, slots=True)
class SetInHand:
    """What is the same for every datum of a set."""

    datum_set: work.DatumSet
    span: SpanId
    prefetch: Prefetch
    packing: Packing
    outputs: Entries
    meta: Entries
    names: NameBudget


@dataclass(slots=True)
class _Tally:
    """What the last attempt took. Times in nanoseconds."""

    process_ns: int = 0
    upload_ns: int = 0
    upload_bytes: int = 0
    outputs: list[str] = field(default_factory=list)


class DatumRun:
    """All attempts at one datum."""

    def __init__(self, bench: Bench, hand: SetInHand, index: int) -> None:
        self._bench = bench
        self._hand = hand
        self._index = index
        self._datum = hand.datum_set.datums[index]
        self._span = hand.span.child()
        self._log_context = LogContext(self._span, self._attributes())
        self._output = OutputLog(self._emit, limit_bytes=bench.log_limit_bytes)
        self._tally = _Tally()
        self._env: dict[str, str] = {}
        self._env_file = b""

    def run(self) -> work.DatumResult:
        """Raises Trouble, or Gone when the set is lost."""
        began = now()
        recovered = False
        reason = ""
        laid = self._hand.prefetch.take(self._index)
        try:
            for attempt in range(self._bench.spec.tries):
                if attempt:
                    remove(laid.place)
                    laid = self._hand.prefetch.again(self._index)
                reason, mended = self._attempt(laid)
                recovered = recovered or mended
                if not reason:
                    break
            result = self._finish(laid, reason, recovered=recovered)
        finally:
            self._output.end()
            remove(laid.place)
        self._trace("datum", self._span, self._hand.span.span, began, reason)
        return result

    def _attempt(self, laid: LaidOut) -> tuple[str, bool]:
        """(why it failed or "", whether the error handler made good)."""
        bench = self._bench
        root = bench.scratch.root
        added = environment.of_datum(self._datum, self._hand.datum_set, root=root)
        self._env = bench.base_env | added
        self._env_file = environment.as_file(self._env)
        bench.scratch.fresh_out()
        bench.scratch.link(laid.place, {item.name for item in self._datum.inputs}, self._env_file)
        timeout = bench.spec.timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        began = now()
        bench.activity.begin(Doing(self._hand.datum_set.job, self._datum, began))
        mended = False
        try:
            reason = self._run("user code", bench.spec.cmd, bool(bench.spec.stdin) and "stdin", deadline)
            if reason and bench.spec.err_cmd and not bench.interrupt.cancelled and _time_left(deadline):
                stdin = bool(bench.spec.err_stdin) and "err_stdin"
                mended = not self._run("user error handling code", bench.spec.err_cmd, stdin, deadline)
        finally:
            bench.activity.end()
        self._tally.process_ns = now() - began
        self._trace("process", self._span.child(), self._span.span, began, reason)
        return reason, mended

    def _run(self, what: str, argv: tuple[str, ...], stdin: str | bool, deadline: float | None) -> str:
        """Why it failed, or ""."""
        bench = self._bench
        self._say(f"beginning to run {what}")
        command = Command(
            argv,
            Path(bench.scratch.spool(stdin)) if isinstance(stdin, str) else None,
            bench.spec.working_dir,
            bench.spec.run_as,
        )
        began = time.monotonic()
        try:
            ended = run(command, self._env, self._output, bench.exporter, bench.interrupt, deadline)
        except OutOfProcesses as error:
            raise Trouble(f"no process could be started: {error.strerror}") from error
        if ended.how is End.LOST:
            raise Gone(ended.reason)
        reason = self._judged(ended)
        took = f"{time.monotonic() - began:.3f}s"
        self._say(
            f"errored running {what} after {took}: {reason}" if reason else f"finished running {what} after {took}"
        )
        return reason

    def _judged(self, ended: Ended) -> str:
        if ended.how is End.EXITED and (ended.code == 0 or ended.code in self._bench.spec.accepted_codes):
            return ""
        if ended.how is End.TIMED_OUT:
            return f"the datum timeout of {self._bench.spec.timeout:g}s was exceeded"
        return ended.reason

    def _finish(self, laid: LaidOut, reason: str, *, recovered: bool) -> work.DatumResult:
        began = now()
        for _, _, what in laid.files[:SHOWN_INPUTS]:
            self._hand.packing.know(what)
        try:
            self._collect(laid, counts=not reason)
        except BadOutput as bad:
            if not reason:  # of an attempt that failed anyway, what can be stored is enough
                reason, recovered = str(bad), False
                self._say(f"errored uploading the output of user code: {reason}")
        self._tally.upload_ns = now() - began
        state = SUCCESS if not reason else RECOVERED if recovered else FAILED
        result = work.DatumResult(datum_id=self._datum.id, state=state, reason=reason, stats=self._stats(laid))
        if state == SUCCESS:
            result.outputs.extend(self._tally.outputs)
        self._add_meta(laid, result)
        self._trace_download(laid)
        return result

    def _collect(self, laid: LaidOut, *, counts: bool) -> None:
        """Store the outputs; they join the output file set only when the datum succeeded."""
        hand, datum = self._hand, self._datum.id
        empty = frozenset(item.name for item in self._datum.inputs if item.empty_files)
        stored = []
        for output in collect(self._bench.scratch, laid, empty):
            what = output.known
            if what is None:
                what = self._stored(output.real, output.path)
                self._tally.upload_bytes += what.size_bytes
            stored.append((output.path, what))
            hand.meta.add(f"/pfs/{datum}/out{output.path}", datum, what)
        if counts:
            hand.names.take([path for path, _ in stored])
            for path, what in stored:
                hand.outputs.add(path, datum, what)
                self._tally.outputs.append(path)

    def _stored(self, real: str, path: str) -> content.Content:
        try:
            try:
                return self._hand.packing.add_file(real)
            except PermissionError:
                os.chmod(real, 0o600)  # user code may have closed its own file; it is still ours to read
                return self._hand.packing.add_file(real)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO):
                raise Trouble(f"an output file cannot be read: {error.strerror}") from error
            raise BadOutput(f"cannot upload file produced by the user code: {path}: {error.strerror}") from error

    def _add_meta(self, laid: LaidOut, result: work.DatumResult) -> None:
        hand, datum = self._hand, self._datum.id
        empty = {item.name for item in self._datum.inputs if item.empty_files}
        nothing = hand.packing.add(b"") if empty else None
        for name, path, what in laid.files:
            kept = nothing if nothing is not None and name in empty else what
            hand.meta.add(f"/pfs/{datum}/{name}{path}", datum, kept)
        hand.meta.add(f"/pfs/{datum}/.env", datum, hand.packing.add(self._env_file))
        document = meta.document(self._bench.spec, hand.datum_set, self._index, result)
        hand.meta.add(f"/meta/{datum}/meta", datum, hand.packing.add(document))

    def _stats(self, laid: LaidOut) -> pps.ProcessStats:
        stats = pps.ProcessStats(download_bytes=laid.size_bytes, upload_bytes=self._tally.upload_bytes)
        stats.download_time.FromNanoseconds(max(laid.ended - laid.began, 0))
        stats.process_time.FromNanoseconds(max(self._tally.process_ns, 0))
        stats.upload_time.FromNanoseconds(max(self._tally.upload_ns, 0))
        return stats

    def _attributes(self) -> dict[str, Attribute]:
        shown = self._datum.inputs[:SHOWN_INPUTS]
        return {
            "datamill.job": self._hand.datum_set.job.id,
            "datamill.datum": self._datum.id,
            "datamill.data.paths": tuple(item.file.path for item in shown),
            "datamill.data.hashes": tuple(item.digest.hex() for item in shown),
        }

    def _emit(self, stream: str, lines: list[str]) -> None:
        self._bench.exporter.lines(self._log_context, stream, lines)

    def _say(self, text: str) -> None:
        self._bench.exporter.say(self._log_context, text)

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


def _time_left(deadline: float | None) -> bool:
    return deadline is None or time.monotonic() < deadline
