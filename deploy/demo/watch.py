"""Follows the jobs of the demo's pipelines: a live table on a terminal, a line for each ended job elsewhere."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from datamill import Client
from datamill.methods.jobs import ENDED
from datamill.wire import pps_v2_pb2 as pps

LOOK_SECONDS = 0.25
DEADLINE_SECONDS = 600.0
Found = Mapping[str, pps.JobInfo]


class JobFailed(Exception):
    """A job of the demo did not succeed."""


def newest(client: Client) -> Found:
    """The newest job of each pipeline."""
    found: dict[str, pps.JobInfo] = {}
    for info in client.list_jobs():
        found.setdefault(info.job.pipeline.name, info)
    return found


def of_change(client: Client, id: str) -> Found:
    """The jobs that one change set off."""
    return {info.job.pipeline.name: info for info in client.inspect_job_set(id)}


def follow(console: Console, names: Sequence[str], look: Callable[[], Found]) -> Found:
    """Show the jobs of these pipelines until all have ended. Raises JobFailed and TimeoutError."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    told: set[str] = set()
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while True:
            found = look()
            ended = [name for name in names if name in found and found[name].state in ENDED]
            if console.is_terminal:
                live.update(progress(names, found))
            for name in ended:
                if name not in told and not console.is_terminal:
                    console.print(f"  {name}: {counts(found[name])}")
                told.add(name)
            _refuse_failure(found.values())
            if len(ended) == len(names):
                return found
            if time.monotonic() > deadline:
                waiting = ", ".join(name for name in names if name not in ended)
                raise TimeoutError(f"not done after {DEADLINE_SECONDS:.0f} s: {waiting}")
            time.sleep(LOOK_SECONDS)


def progress(names: Sequence[str], found: Found) -> Table:
    """One line for each pipeline: how far its job is."""
    table = Table(box=None, padding=(0, 2), show_header=False)
    for name in names:
        info = found.get(name)
        if info is None:
            table.add_row(name, ProgressBar(total=1, completed=0, width=32), "waits")
            continue
        done = info.data_processed + info.data_skipped + info.data_failed + info.data_recovered
        bar = ProgressBar(total=max(info.data_total, 1), completed=done, width=32)
        table.add_row(name, bar, f"{done} of {info.data_total}" if info.data_total else "waits", state(info))
    return table


def state(info: pps.JobInfo) -> str:
    """The job's state as a word."""
    return pps.JobState.Name(info.state).removeprefix("JOB_").lower()


def counts(info: pps.JobInfo) -> str:
    """How many datums ran and how many did not have to."""
    return f"{state(info)}, {info.data_processed} ran, {info.data_skipped} skipped"


def _refuse_failure(infos: Iterable[pps.JobInfo]) -> None:
    for info in infos:
        if info.state in ENDED and info.state != pps.JOB_SUCCESS:
            raise JobFailed(f"{info.job.pipeline.name}@{info.job.id} ended as {state(info)}: {info.reason}")
