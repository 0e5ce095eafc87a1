"""Logs of real workers: complete and in order, found by input, gone on with when a worker is killed, none doubled."""

import base64
from collections.abc import Iterator

import psutil
import pytest

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import pps_v2_pb2_grpc as pps_grpc
from tests.support.patience import eventually
from tests.support.servers import Spine, channel
from tests.system.chaos.dag import named
from tests.system.pfs.driver import Repo, put
from tests.system.pps.test_secrets import Stubs, asking, job_of

LINES, FEW = 100_000, 100


@pytest.fixture
def stubs(spine: Spine) -> Iterator[Stubs]:
    with channel(spine.pfs) as to_pfs, channel(spine.pps) as to_pps, channel(spine.jobs) as to_jobs:
        yield Stubs(pps_grpc.APIStub(to_pps), pps_grpc.APIStub(to_jobs), Repo(to_pfs), spine)


def read(stubs: Stubs, **asked: object) -> list[pps.LogMessage]:
    return list(stubs.jobs.GetLogs(pps.GetLogsRequest(**asked), timeout=120))  # type: ignore[arg-type]


def test_every_line_of_a_datum_comes_in_order_by_path_and_by_hash(stubs: Stubs) -> None:
    stubs.source.modify(put("/a", b"x"), put("/b", b"y"))
    count = f"$([ -e /pfs/data/a ] && echo {LINES} || echo {FEW})"
    script = f'echo "$data_COMMIT" "$data" >&2; seq 1 {count} | sed "s/^/%s {{}} /"; printf unterminated'
    name = asking(stubs, script)
    job = job_of(stubs, name)
    assert job.state == pps.JOB_SUCCESS
    for path, lines in (("/a", LINES), ("/b", FEW)):
        mine = read(stubs, job=job.job, data_filters=[path])
        wanted = [f"%s {{}} {number}" for number in range(1, lines + 1)] + ["unterminated"]
        own = [line for line in mine if line.user]
        assert [line.message for line in own if not line.message.endswith(path)] == wanted
    (hash,) = {one.hash for line in mine for one in line.data}
    for text in (base64.b64encode(hash).decode(), hash.hex()):
        assert read(stubs, job=job.job, data_filters=[text]) == mine
    assert read(stubs, job=job.job, data_filters=["/b", hash.hex()]) == mine
    assert read(stubs, job=job.job, data_filters=["/a", "/b"]) == []
    (datum,) = {line.datum_id for line in mine}
    assert read(stubs, pipeline=named(name), datum=pps.Datum(id=datum)) == mine
    said = [line.message for line in mine if not line.user]
    assert said[0] == "beginning to run user code"
    assert said[-1].startswith("finished running user code after ")
    master = read(stubs, job=job.job, master=True)
    assert "job is RUNNING: 2 datums in" in " ".join(line.message for line in master)
    assert all(line.master and line.job_id == job.job.id and not line.user for line in master)
    stubs.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name)))


def kill_the_worker(name: str) -> bool:
    """Whether there was one."""
    for process in psutil.process_iter():
        try:
            environ = process.environ()
        except psutil.Error:
            continue
        if name in environ.get("WORKER_NAME", "") and process.name() == "bwrap":
            process.kill()
            return True
    return False


def test_following_goes_on_when_workers_are_killed_and_no_line_is_said_twice(stubs: Stubs) -> None:
    stubs.source.modify(put("/a", b"x"))
    script = "while :; do cat /proc/sys/kernel/random/uuid; sleep 0.02; done"
    name = asking(stubs, script)
    (info,) = eventually(lambda: list(stubs.jobs.ListJob(pps.ListJobRequest(pipeline=named(name)))))
    call = stubs.jobs.GetLogs(pps.GetLogsRequest(job=info.job, follow=True), timeout=240)
    seen = list[str]()
    for lives in (1, 2, 3):
        while len(seen) < 20 * lives:
            line = next(call)
            seen += [line.message] if line.user else []
        if lives < 3:
            eventually(lambda: kill_the_worker(name))
            while (line := next(call)).message != "beginning to run user code":
                seen += [line.message] if line.user else []
    call.cancel()
    assert len(seen) == len(set(seen)) >= 60
    stubs.jobs.StopJob(pps.StopJobRequest(job=info.job), timeout=120)
    whole = [line.message for line in read(stubs, job=info.job) if line.user]
    assert whole[: len(seen)] == seen
    assert len(whole) == len(set(whole))
    stubs.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name)))
