"""Pipelines with autoscaling: no workers without work, as many as there is work for, and soon."""

import re
from pathlib import Path
from typing import Any

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.servers import unique
from tests.system.chaos.patient import Patient


def scaled(name: str, read: str, script: str, workers: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "pipeline": {"name": name},
        "transform": {"cmd": ["sh", "-c", script]},
        "input": {"pfs": {"repo": read, "glob": "/*"}},
        "autoscaling": True,
        "parallelismSpec": {"constant": str(workers)},
        **more,
    }


def in_state(instance: Patient, name: str, state: "pps.PipelineState.ValueType") -> bool:
    return instance.inspect_pipeline(name).state == state


def alerts(instance: Patient, name: str, **asked: Any) -> list[str]:
    """What CheckStatus says of a pipeline."""
    found = instance.pps.CheckStatus(pps.CheckStatusRequest(**asked))
    return [alert for one in found if one.pipeline.name == name for alert in one.alerts]


def workers(instance: Patient, name: str) -> tuple[int, int]:
    details = instance.inspect_pipeline(name).details
    return details.workers_requested, details.workers_available


def test_workers_come_with_work_and_go_without(instance: Patient, tmp_path: Path) -> None:
    source, name, hold = unique("in"), unique("scaled"), tmp_path / "hold"
    instance.create_repo(source)
    script = f"while [ -e {hold} ]; do sleep 0.1; done; true"
    instance.create_pipeline(scaled(name, source, script, 3, maximumExpectedUptime="1s", datumSetSpec={"number": 1}))
    eventually(lambda: in_state(instance, name, pps.PIPELINE_STANDBY))
    assert workers(instance, name) == (0, 0)
    started = instance.inspect_pipeline(name).details
    assert not started.HasField("workers_started_at")

    one = instance.have_commit(f"{source}@master", {"/a": b"1"})
    assert instance.ended(name, one).state == pps.JOB_SUCCESS
    eventually(lambda: in_state(instance, name, pps.PIPELINE_STANDBY))
    assert workers(instance, name) == (0, 0)

    hold.touch()
    two = instance.have_commit(f"{source}@master", {f"/{at}": b"2" for at in "bcdefg"})
    eventually(lambda: workers(instance, name) == (3, 3))
    info = instance.inspect_pipeline(name)
    assert info.state == pps.PIPELINE_RUNNING
    assert info.details.HasField("workers_started_at")
    (alert,) = eventually(lambda: alerts(instance, name, all=True))
    assert re.fullmatch(rf"default/{name}: Started running at \S+Z, exceeded maximum uptime by [0-9.hm]+s", alert)
    here = pfs.Project(name="default")
    assert len(alerts(instance, name, project=here)) == 1
    assert [one.project for one in instance.pps.CheckStatus(pps.CheckStatusRequest(project=here))] == [here]
    assert all(not one.HasField("project") for one in instance.pps.CheckStatus(pps.CheckStatusRequest(all=True)))
    hold.unlink()
    assert instance.ended(name, two).data_processed == 6
    eventually(lambda: in_state(instance, name, pps.PIPELINE_STANDBY))
    assert alerts(instance, name, all=True) == []

    instance.stop_pipeline(name)
    assert in_state(instance, name, pps.PIPELINE_PAUSED)
    instance.start_pipeline(name)
    eventually(lambda: in_state(instance, name, pps.PIPELINE_STANDBY))
    instance.delete_pipeline(name)


def test_a_wish_that_cannot_be_set_up_fails_the_pipeline_until_an_update(instance: Patient) -> None:
    source, name = unique("in"), unique("bad")
    instance.create_repo(source)
    spec = scaled(name, source, "true", autoscaling=False, maximumExpectedUptime="60s")
    instance.create_pipeline(spec)
    eventually(lambda: in_state(instance, name, pps.PIPELINE_FAILURE))
    info = instance.inspect_pipeline(name)
    reason = "autoscaling must be true when max_expected_uptime is non-zero"
    assert info.reason == f"could not update resources after 3 attempts: {reason}"
    assert info.details.recent_error == info.reason
    del spec["maximumExpectedUptime"]
    instance.create_pipeline(spec, update=True)
    eventually(lambda: in_state(instance, name, pps.PIPELINE_RUNNING))
    assert instance.inspect_pipeline(name).reason == ""
