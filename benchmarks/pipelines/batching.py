"""Batched datums: how many a second, and what the worker takes of a processor for each besides the calls for files."""

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.instance import Instance, instance
from benchmarks.pipelines.jobs import job, small_files
from benchmarks.processor import WORKER, said
from benchmarks.report import Figure

DATUMS = int(os.environ.get("BENCH_BATCHED_DATUMS", "20000"))
GOAL_RATE = 3000
GOAL_OWN_MS = 0.3
ALONE = 2000
CODE = """
import shutil
from datamill.batching import OUT, datums
for datum in datums():
    shutil.copy(datum.path("small"), OUT)
"""


def rate(up: Instance) -> list[Figure]:
    """User code asks for each datum by NextDatum; Python, through the client's own loop."""
    script = f"exec {sys.executable} -c '{CODE}'"
    seconds, processor = job(up, "batched", script, small_files(DATUMS), workers=2, batching=True)
    files = files_ms(up.folder)
    own = processor[WORKER] - files
    return [
        Figure(
            what=f"{DATUMS:,} datums of one small file, batched, copied by Python user code, 2 workers, whole job",
            ours=f"{DATUMS / seconds:.0f} datums/s; processor per datum {said(processor)}",
            goal=f"≥ {GOAL_RATE:,}/s",
            reached=DATUMS / seconds >= GOAL_RATE,
        ),
        Figure(
            what="the worker's own part of that: its processor per datum without the calls for files",
            ours=f"{own:.2f} ms of {processor[WORKER]:.2f}",
            peer=f"the same calls for files in a bare loop, nothing else running {files:.2f} ms",
            goal=f"< {GOAL_OWN_MS:g} ms",
            reached=own < GOAL_OWN_MS,
        ),
    ]


def files_ms(disk: Path) -> float:
    """The processor time of the calls that lay out and collect a datum of one file, in ms: inputs in memory as the
    process runtime has them, outputs on `disk`; without what user code does."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory, tempfile.TemporaryDirectory(dir=disk) as out:
        written = f"{out}/f"
        begun, user = time.process_time(), 0.0
        for number in range(ALONE):
            place = f"{memory}/{number}"
            os.mkdir(place)
            os.mkdir(f"{place}/in")
            for name in ("in/f", ".env"):
                _write(f"{place}/{name}")
            os.lstat(out)
            os.symlink(place, f"{memory}/.next")
            os.rename(f"{memory}/.next", f"{memory}/.now")
            os.lstat(memory)
            before = time.process_time()
            _write(written)
            user += time.process_time() - before
            with os.scandir(out) as found:
                list(found)
            handle = os.open(written, os.O_RDONLY)
            os.read(handle, 4096)
            os.read(handle, 4096)
            os.close(handle)
            os.listdir(out)
            for name in (written, f"{place}/in/f", f"{place}/.env"):
                os.unlink(name)
            os.rmdir(f"{place}/in")
            os.rmdir(place)
        return 1e3 * (time.process_time() - begun - user) / ALONE


def _write(path: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(handle, b"12345\n")
    os.close(handle)


def run() -> list[Figure]:
    with instance() as up:
        return rate(up)
