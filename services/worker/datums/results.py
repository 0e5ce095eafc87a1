"""What becomes of a datum: its outputs stored, its meta entries written, its result for Jobs.

Elsewhere: the attempts (attempts.py); which files count (outputs/collecting.py).
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from datamill.bulk.sending.stating import Blob
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.worker.datums.bench import Bench, SetInHand
from services.worker.inputs.layout import LaidOut
from services.worker.outputs.collecting import BadOutput, collect
from services.worker.peers.calls import Trouble
from services.worker.telemetry.spans import now

SHOWN_INPUTS = 100  # of a datum's inputs, how many a log line can be found by
SUCCESS, FAILED, RECOVERED = pps.DatumState.SUCCESS, pps.DatumState.FAILED, pps.DatumState.RECOVERED


@dataclass(slots=True)
class Effort:
    """What the last attempt took, and its environment file. Times in nanoseconds."""

    process_ns: int = 0
    upload_ns: int = 0
    upload_bytes: int = 0
    lazy_bytes: int = 0  # of lazy inputs, as far as somebody read them
    outputs: list[str] = field(default_factory=list)
    env_file: bytes = b""


@dataclass(slots=True)
class Outcome:
    """How the attempts ended. reason: why the last one failed, or ""; recovered: an error handler made good."""

    reason: str
    recovered: bool = False

    @property
    def state(self) -> "pps.DatumState.ValueType":
        return SUCCESS if not self.reason else RECOVERED if self.recovered else FAILED


class Taking:
    """Takes what one datum left behind. say: a line of the worker's own in the datum's log."""

    def __init__(
        self, bench: Bench, hand: SetInHand, index: int, laid: LaidOut, effort: Effort, say: Callable[[str], None]
    ) -> None:
        self._bench = bench
        self._hand = hand
        self._index = index
        self._datum = hand.datum_set.datums[index]
        self._laid = laid
        self._effort = effort
        self._say = say

    def result(self, outcome: Outcome) -> work.DatumResult:
        """`outcome` says afterwards what became of it, outputs included. Raises Trouble."""
        began = now()
        for _, _, what in self._laid.files[:SHOWN_INPUTS]:
            self._hand.packing.know(what)
        try:
            self._collect(counts=not outcome.reason)
        except BadOutput as bad:
            if not outcome.reason:  # of an attempt that failed anyway, what can be stored is enough
                outcome.reason, outcome.recovered = str(bad), False
                self._say(f"errored uploading the output of user code: {bad}")
        self._effort.upload_ns = now() - began
        result = work.DatumResult(
            datum_id=self._datum.id, state=outcome.state, reason=outcome.reason, stats=self._stats()
        )
        if result.state == SUCCESS:
            result.outputs.extend(self._effort.outputs)
        self._add_meta(result)
        return result

    def _collect(self, *, counts: bool) -> None:
        """Store the outputs; they join the output file set only when the datum succeeded."""
        hand, datum = self._hand, self._datum.id
        bare = frozenset(item.name for item in self._datum.inputs if item.empty_files or item.lazy)
        stored = []
        for output in collect(self._bench.scratch, self._laid, bare):
            what: content.Content | Blob | None = output.known
            if what is None:
                what = self._stored(output.real, output.path)
                self._effort.upload_bytes += what.size_bytes
            stored.append((output.path, what))
            hand.meta.add(f"/pfs/{datum}/out{output.path}", datum, what)
        if counts:
            hand.names.take([path for path, _ in stored])
            for path, what in stored:
                hand.outputs.add(path, datum, what)
                self._effort.outputs.append(path)

    def _stored(self, real: str, path: str) -> content.Content | Blob:
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

    def _add_meta(self, result: work.DatumResult) -> None:
        hand, datum = self._hand, self._datum.id
        empty = {item.name for item in self._datum.inputs if item.empty_files}
        lazy = {item.name for item in self._datum.inputs if item.lazy}
        nothing = hand.packing.add(b"") if empty else None
        for name, path, what in self._laid.files:
            if name in lazy:
                continue
            kept = nothing if nothing is not None and name in empty else what
            hand.meta.add(f"/pfs/{datum}/{name}{path}", datum, kept)
        hand.meta.add(f"/pfs/{datum}/.env", datum, hand.packing.add(self._effort.env_file))
        document = hand.documents.document(self._index, result)
        hand.meta.add(f"/meta/{datum}/meta", datum, hand.packing.add(document))

    def _stats(self) -> pps.ProcessStats:
        stats = pps.ProcessStats(
            download_bytes=self._laid.size_bytes + self._effort.lazy_bytes, upload_bytes=self._effort.upload_bytes
        )
        took = (self._laid.ended - self._laid.began, self._effort.process_ns, self._effort.upload_ns)
        for duration, ns in zip((stats.download_time, stats.process_time, stats.upload_time), took, strict=True):
            duration.seconds, duration.nanos = divmod(max(ns, 0), 1_000_000_000)
        return stats
