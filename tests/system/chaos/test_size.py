"""A job of many datums while a process of the instance is killed every second until it ends: the right output.

Whatever there is has its turn: workers, sandboxes, user code, services, NATS, the gateway. Beside that, workers hang
for longer than their lease, and answer then. Each datum counts once.

DATAMILL_KILL_DATUMS chooses how many; `make soak` asks for 5,000.
"""

import os
import time
from pathlib import Path

import pytest

from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.servers import free_port
from tests.system.chaos.dag import leaf, pipeline
from tests.system.chaos.kills import hanging_workers, killing_at_a_pace, up
from tests.system.chaos.patient import Patient

DATUMS = int(os.environ.get("DATAMILL_KILL_DATUMS", "1000"))
A_SET = 25
LEASE_SECONDS, HUNG_SECONDS = 4.0, 6.0


def contents_of(client: Patient, repo: str, id: str) -> dict[str, str]:
    """Path → hash of each file. The hash of the folder also tells who wrote the files."""
    return {path: hash for path, hash in client.hashes(repo, id).items() if path != "/"}


@pytest.mark.long
def test_a_job_of_many_datums_ends_right_under_a_kill_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_SET_LEASE", f"{LEASE_SECONDS:g}s")
    port = free_port()
    with up(tmp_path, port), Patient(f"grpc://localhost:{port}") as client:
        client.have_repo("source")
        spec = pipeline("copies", 'cp "$source" /pfs/out/', leaf("source", "/*"), workers=2)
        spec.datum_set_spec.number = A_SET
        client.have_pipeline("copies", spec)
        contents = {f"/f{number:05d}": b"%d\n" % number for number in range(DATUMS)}
        id = client.have_commit("source@master", contents)
        began = time.monotonic()
        with killing_at_a_pace(tmp_path, 1.0) as killed, hanging_workers(tmp_path, HUNG_SECONDS):
            eventually(lambda: client.job("copies", id).state == pps.JOB_SUCCESS, within=300 + DATUMS)
        info = client.job("copies", id)
        took = time.monotonic() - began
        print(f"{DATUMS} datums: {took:.1f} s, a kill every {took / killed.total():.1f} s; {info.restart} restarts")
        assert (info.state, info.reason) == (pps.JOB_SUCCESS, "")
        assert (info.data_total, info.data_processed) == (DATUMS, DATUMS)
        assert (info.data_skipped, info.data_failed, info.data_recovered) == (0, 0, 0)
        assert len({one.datum.id for one in client.datums("copies", id)}) == DATUMS
        assert contents_of(client, "copies", id) == contents_of(client, "source", id)
        assert killed.total() > 1
        assert {path.split("/")[2] for path in client.hashes("copies.meta", id) if path.endswith("/meta")} == {
            one.datum.id for one in client.datums("copies", id)
        }
