"""Two replicas of Jobs and of PPS, killed and hung under a stream of commits: nothing is lost or double.

Several pipelines with two workers each, so that jobs run side by side. User code notes its runs in a file of the host,
which tells what ran twice: a set is run anew only when its worker was killed.
Elsewhere: what a replica takes over, step by step (jobs/lives/test_replicas.py, pps/crashes/test_replicas.py).
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.pfs_v2_pb2_grpc import APIStub as PfsStub
from tests.support.servers import channel, free_port, unique
from tests.system.jobs.conftest import Instance
from tests.system.jobs.hands import Bench, repo
from tests.system.jobs.lives.test_crashes import patiently_ended

ROUNDS = int(os.environ.get("DATAMILL_REPLICA_ROUNDS", "1"))
COMMITS_EVERY = 0.2  # seconds
HUNG_SECONDS = 12.0  # longer than leases of duties
COMMITS = int(os.environ.get("DATAMILL_REPLICA_COMMITS", "60"))
MOVES = ("job is STARTING", "job is RUNNING", "job is FINISHING", "job is SUCCESS")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def instance(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, service_token: str
) -> Iterator[Instance]:
    postgres = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    at = {name: f"127.0.0.1:{free_port()}" for name in ("pfs", "jobs", "pps", "other", "other-pps")}
    more = {
        "PPS_JOBS": f"ipv4:{at['jobs']},{at['other']}",
        "PPS_WORKER_PYTHON": sys.executable,
        "JOBS_SET_LEASE": "60s",
    }
    found = Instance(tmp_path_factory.mktemp("two"), service_token, at, free_port(), {}, postgres, more=more)
    try:
        for name in ("nats", "pfs", "jobs", "other", "pps", "other-pps"):
            found.start(name)
        yield found
    finally:
        found.stop()


@pytest.fixture
def benches(instance: Instance) -> Iterator[list[Bench]]:
    """Three pipelines over one repo; callers know both replicas, as workers do."""
    both = {
        service: f"ipv4:{instance.at[first]},{instance.at[second]}"
        for service, first, second in (("jobs", "jobs", "other"), ("pps", "pps", "other-pps"))
    }
    with channel(instance.at["pfs"]) as files, channel(both["pps"]) as pipelines, channel(both["jobs"]) as jobs:
        source = unique("in")
        PfsStub(files).CreateRepo(pfs.CreateRepoRequest(repo=repo(source)))
        yield [Bench(files, pipelines, jobs, instance.token, unique("p"), source) for _ in range(3)]


@pytest.mark.long
@pytest.mark.parametrize("names", [("jobs", "other"), ("pps", "other-pps")], ids=["jobs", "pps"])
def test_replicas_killed_and_hung_under_a_stream_of_commits(
    instance: Instance, benches: list[Bench], tmp_path: Path, names: tuple[str, str]
) -> None:
    for bench in benches:
        notes = tmp_path / bench.name
        script = f'sleep 0.1; echo "$(basename "$in")" >> {notes}; cp "$in" /pfs/out/'
        made = bench.create(
            transform={"cmd": ["sh", "-c", script]},
            parallelismSpec={"constant": 2},
            datumSetSpec={"number": 1},
        )
        assert bench.ended(made).state == pps.JOB_SUCCESS
    with ThreadPoolExecutor(1) as pool:
        committing = pool.submit(commit, benches[0])
        done = 0
        while done < ROUNDS or not committing.done():  # here: a process that a thread starts dies with the thread
            for name in names:
                instance.restart(name)
                with instance.hanging(name):
                    time.sleep(HUNG_SECONDS)  # not a wait: this is what is done to it
            done += 1
        ids = committing.result()
    for bench in benches:
        check(bench, ids, tmp_path / bench.name, once=names[0] == "jobs")


def commit(bench: Bench) -> list[str]:
    ids = []
    for number in range(COMMITS):
        ids.append(bench.commit({f"/{number}-{part}": b"%d" % number for part in "ab"}))
        time.sleep(COMMITS_EVERY)  # not a wait: the pace
    return ids


def check(bench: Bench, ids: list[str], notes: Path, *, once: bool) -> None:
    """Every job has ended well, and each datum ran in one of them; once: and nowhere else."""
    infos = [patiently_ended(bench, id) for id in ids]
    assert {(info.state, info.reason) for info in infos} == {(pps.JOB_SUCCESS, "")}
    wanted = [f"/{number}-{part}" for number in range(len(ids)) for part in "ab"]
    assert bench.outputs(ids[-1]) == sorted(wanted)
    for number, info in enumerate(infos, 1):
        assert (info.data_total, info.data_processed + info.data_skipped) == (2 * number, 2 * number)
    assert sum(info.data_processed for info in infos) == len(wanted)
    ran = Counter(notes.read_text().split())
    again = {name: count for name, count in ran.items() if count > 1}
    print(f"{bench.name}: {len(ids)} jobs, begun anew {sum(info.restart for info in infos)} times; ran again: {again}")
    assert {f"/{name}" for name in ran} == set(wanted)
    assert not (once and again)
    for info in infos:
        request = pps.GetLogsRequest(job=info.job, master=True)
        lines = [line.message for line in bench.jobs.GetLogs(request, timeout=120)]
        assert all(sum(line.startswith(move) for line in lines) <= 1 for move in MOVES), lines
