"""A spout's user code: one process for as long as its pipeline runs.

It has no datum: nothing is laid out for it, nothing it leaves is collected. What it finds it writes to its output repo
by itself, with the clients it has. Whether it fails or ends well, it is started again, after a pause that grows while
it does not live long.
Elsewhere: what its environment says (process/environment.py); one run of a command (process/running.py).
"""

import logging
import threading
import time
from pathlib import Path

from services.worker.datums.bench import Bench
from services.worker.process.lines import OutputLog
from services.worker.process.running import End, Ended, run
from services.worker.process.starting import Command, OutOfProcesses
from services.worker.telemetry.spans import LogContext, parent_from

log = logging.getLogger(__name__)
LOG_TAG = "spout"  # its lines are found by this in place of a job
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds
SETTLED = 60.0  # a process that lived so long starts afresh in the count of ends
NO_LIMIT = 1 << 62  # it may log for years; the log's stream forgets what is old


def pause_after(ends: int) -> float:
    """Seconds before the next start, when so many processes in a row did not live long."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(ends - 1, 10))


class Spout:
    """The one process of a spout."""

    def __init__(self, bench: Bench, stopping: threading.Event) -> None:
        self._bench, self._stopping = bench, stopping
        self._context = LogContext(parent_from(""), {"datamill.job": LOG_TAG})
        self._ends = 0

    def run(self) -> None:
        """Until told to stop."""
        while not self._stopping.is_set():
            began = time.monotonic()
            reason = self._once()
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            self._ends = 1 if lived > SETTLED else self._ends + 1
            pause = pause_after(self._ends)
            self._say(f"user code of the spout ended after {lived:.3f}s ({reason}); it is started again in {pause:g}s")
            self._stopping.wait(pause)

    def _once(self) -> str:
        """How it ended."""
        bench, spec = self._bench, self._bench.spec
        output = OutputLog(self._emit, limit_bytes=NO_LIMIT)
        stdin = Path(bench.scratch.spool("stdin")) if spec.stdin else None
        command = Command(spec.cmd, stdin, spec.working_dir, spec.run_as)
        self._say("beginning to run user code")
        try:
            ended = run(command, bench.base_env, output, bench.exporter, bench.interrupt, None)
        except OutOfProcesses as error:
            ended = Ended(End.NOT_STARTED, f"no process could be started: {error.strerror}")
        finally:
            output.end()
        return ended.reason

    def _emit(self, stream: str, lines: list[str]) -> None:
        self._bench.exporter.lines(self._context, stream, lines)

    def _say(self, text: str) -> None:
        log.info("%s", text)
        self._bench.exporter.say(self._context, text)
