"""Two replicas of Jobs and two of PPS; one is killed or hangs: how long until the other does its work.

Measured by what users see: a job that runs comes to its end, a pipeline has workers again. All in processes of their
own, over SQLite. BENCH_HANDOVER_ROUNDS: how often each is done.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import grpc
import psutil
from sqlalchemy import select

from benchmarks.report import Figure
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.pfs_v2_pb2_grpc import APIStub as PfsStub
from services.kit.storage.database import Database
from services.kit.storage.leases import LeaseRow
from tests.support.servers import channel, free_port
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, repo

ROUNDS = int(os.environ.get("BENCH_HANDOVER_ROUNDS", "3"))
GOAL_SECONDS = 15.0
LOOK_AGAIN = 0.02
REPLICAS = {"jobs": "other", "pps": "other-pps"}
OTHER = REPLICAS | {second: first for first, second in REPLICAS.items()}
SCRIPT = 'while [ ! -e "{flag}" ]; do sleep 0.05; done; cp "$in" /pfs/out/'


@dataclass(frozen=True)
class Parts:
    """The processes, and the pipeline asked for at either replica of Jobs.

    flag: a file; user code waits until it is there.
    """

    instance: Instance
    benches: dict[str, Bench]
    flag: Path

    def stopped(self, name: str, *, hung: bool) -> ExitStack:
        """Kill a replica, or let it hang; it is back at the stack's end."""
        stack = ExitStack()
        if hung:
            stack.enter_context(self.instance.hanging(name))
        else:
            self.instance.kill(name)
            stack.callback(self.instance.start, name)
        return stack

    def holder(self, service: str, duty: str) -> str:
        """Which replica holds a duty; "" when none does now."""
        path = self.instance.root / service / f"{service}.db"
        rows = select(LeaseRow.holder).where(LeaseRow.duty.startswith(duty))
        with Database(f"sqlite:///{path}") as database:
            held = database.run_here(lambda tx: list(tx.scalars(rows)))
        return held[0].partition(" ")[0] if held else ""

    def worker_at(self, replica: str) -> str:
        """Which replica of Jobs the worker of a replica of PPS is connected to; "" when there is no such worker."""
        ports = {int(self.instance.at[name].rpartition(":")[2]): name for name in ("jobs", "other")}
        with suppress(psutil.Error):
            for process in psutil.Process(self.instance.up[replica][1].process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    for one in process.net_connections("tcp"):
                        if one.status == psutil.CONN_ESTABLISHED and one.raddr and one.raddr[1] in ports:
                            return ports[one.raddr[1]]
        return ""


@contextmanager
def parts() -> Iterator[Parts]:
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as folder, ExitStack() as up:
        names = ["pfs", *REPLICAS, *REPLICAS.values()]
        at = {name: f"127.0.0.1:{free_port()}" for name in names}
        more = {"PPS_JOBS": f"ipv4:{at['jobs']},{at['other']}", "PPS_WORKER_PYTHON": sys.executable}
        instance = Instance(Path(folder), "bench", at, free_port(), {}, more=more)
        up.callback(instance.stop)
        for name in ("nats", *names):
            instance.start(name)
        to = {name: up.enter_context(channel(address)) for name, address in at.items()}
        PfsStub(to["pfs"]).CreateRepo(pfs.CreateRepoRequest(repo=repo("in")))
        benches = {name: Bench(to["pfs"], to["pps"], to[name], "bench", "p", "in") for name in ("jobs", "other")}
        found = Parts(instance, benches, Path(folder) / "go")
        script = SCRIPT.format(flag=found.flag)
        made = benches["jobs"].create(transform={"cmd": ["sh", "-c", script]}, datumSetSpec={"number": 1})
        benches["jobs"].ended(made)
        yield found


def until(happened: Callable[[], object]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    while not happened():
        time.sleep(LOOK_AGAIN)
    return time.perf_counter() - begun


def driven(up: Parts, turn: int, *, hung: bool, together: bool) -> float:
    """From the end of whoever drives a job, and of its only datum, to SUCCESS. together: the worker asks there, too."""
    up.flag.unlink(missing_ok=True)
    id = up.benches["jobs"].commit({"/file": f"{hung} {together} {turn}".encode()})

    def at_work() -> bool:
        details = up.benches["jobs"].inspect(id, details=True).details
        return any(one.HasField("datum_status") for one in details.worker_status)

    until(at_work)
    until(lambda: up.holder("jobs", "job/"))
    drives, runs = up.holder("jobs", "job/"), up.holder("pps", "group/")
    while (asks := up.worker_at(runs)) == "" or (asks == drives) is not together:
        if asks:
            with up.stopped(asks, hung=False):
                until(lambda: up.worker_at(runs) == OTHER[asks])
    assert up.holder("jobs", "job/") == drives
    with up.stopped(drives, hung=hung):
        up.flag.touch()
        return until(lambda: up.benches[OTHER[drives]].inspect(id).state == pps.JOB_SUCCESS)


def begun(up: Parts, turn: int, *, hung: bool) -> float:
    """From a commit, just after the end of the replica where an idle worker waits for work, to SUCCESS."""
    up.flag.touch()
    runs = up.holder("pps", "group/")
    until(lambda: up.worker_at(runs))
    asks = up.worker_at(runs)
    left = up.benches[OTHER[asks]]
    with up.stopped(asks, hung=hung):
        started = time.perf_counter()
        id = left.commit({"/file": f"{hung} begun {turn}".encode()})
        until(lambda: succeeded(left, id))
        return time.perf_counter() - started


def succeeded(bench: Bench, id: str) -> bool:
    try:
        return bool(bench.inspect(id).state == pps.JOB_SUCCESS)
    except grpc.RpcError:  # it is not made yet
        return False


def run_again(up: Parts, *, hung: bool) -> float:
    """From the end of whoever runs a pipeline's workers to a worker of the other that asks for work."""
    until(lambda: up.worker_at(up.holder("pps", "group/")))
    runs = up.holder("pps", "group/")
    until(lambda: not up.worker_at(OTHER[runs]))  # one that hung before stops them when it is back
    with up.stopped(runs, hung=hung):
        return until(lambda: up.worker_at(OTHER[runs]))


def figure(what: str, seconds: list[float]) -> Figure:
    least, middle, most = min(seconds), median(seconds), max(seconds)
    return Figure(
        what=what,
        ours=f"{middle:.1f} s (min {least:.1f}, max {most:.1f}, n={len(seconds)})",
        goal=f"≤ {GOAL_SECONDS:.0f} s",
        reached=most <= GOAL_SECONDS,
    )


def run() -> list[Figure]:
    figures = list[Figure]()
    with parts() as up:
        for hung, how in ((False, "killed"), (True, "hung")):
            for together, where in ((False, "its worker asks at the other"), (True, "its worker asked there")):
                took = [driven(up, turn, hung=hung, together=together) for turn in range(ROUNDS)]
                figures.append(figure(f"of two Jobs the one {how} that drives a job, {where}: job goes on", took))
            took = [begun(up, turn, hung=hung) for turn in range(ROUNDS)]
            figures.append(figure(f"of two Jobs the one {how} where an idle worker waits: a commit's job ends", took))
            took = [run_again(up, hung=hung) for _ in range(ROUNDS)]
            figures.append(figure(f"of two PPS the one {how} that runs a pipeline's workers: workers again", took))
    return figures
