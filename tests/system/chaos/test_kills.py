"""Kill -9 of anything at any moment, and of everything at once: the DAG still ends with the outputs it has in peace.

Five pipelines (two measures over the same files, their join, a group, a summary) run on a whole instance. Outputs are
a function of the inputs, so they tell whether anything was lost or counted twice.
Elsewhere: the same with the real pipelines of the example (test_image_quality.py).
"""

import hashlib
from pathlib import Path

from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.servers import free_port
from tests.system.chaos.dag import PIPELINES, names_of, wanted_outputs
from tests.system.chaos.kills import kill, killing, processes, up
from tests.system.chaos.patient import Patient

FILES = 24
NAMES = names_of(PIPELINES)


def make(client: Patient) -> None:
    """The repo and the pipelines."""
    client.have_repo("source")
    for request in PIPELINES:
        client.have_pipeline(request.pipeline.name, request)


def outputs(client: Patient, id: str) -> dict[str, dict[str, bytes]]:
    """Every file of every pipeline's output commit."""
    return {name: client.contents(name, id) for name in NAMES}


def check_counts(client: Patient, id: str) -> None:
    """Every job of the set succeeded, and each datum counts exactly once."""
    for name in NAMES:
        info = client.ended(name, id)
        assert info.state == pps.JOB_SUCCESS, f"{name}: {info.reason}"
        done = info.data_processed + info.data_skipped + info.data_failed + info.data_recovered
        assert done == info.data_total, f"{name}: {info}"
        assert len(client.datums(name, id)) == info.data_total


def test_any_process_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    port = free_port()
    with up(tmp_path, port), Patient(f"grpc://localhost:{port}") as client:
        make(client)
        contents = {f"/f{number:02d}": b"%d " % number * 50 for number in range(FILES)}
        with killing(tmp_path) as killed:
            first = client.have_commit("source@master", contents)
            contents["/f00"] = b"changed"
            del contents["/f01"]
            second = client.have_commit("source@master", {"/f00": contents["/f00"]}, removed=["/f01"])
        assert killed
        check_counts(client, first)
        check_counts(client, second)
        assert outputs(client, second) == wanted_outputs(contents)


def test_a_whole_instance_killed_in_the_middle_goes_on_after_up(tmp_path: Path) -> None:
    port = free_port()
    contents = {f"/f{number:02d}": b"%d " % number * 50 for number in range(FILES)}
    with up(tmp_path, port), Patient(f"grpc://localhost:{port}") as client:
        make(client)
        id = client.have_commit("source@master", contents)
        eventually(
            lambda: client.job("lines", id).data_processed > 0 or client.job("lines", id).state != pps.JOB_RUNNING
        )
        for process in processes(tmp_path, supervisor=True).values():
            kill(process)
    eventually(lambda: not processes(tmp_path, supervisor=True))
    with up(tmp_path, port), Patient(f"grpc://localhost:{port}") as client:
        check_counts(client, id)
        assert outputs(client, id) == wanted_outputs(contents)


def test_the_expected_outputs_depend_on_every_input() -> None:
    """The oracle itself: another input gives other hashes, or the two tests above could not fail."""
    one, other = wanted_outputs({"/a": b"1"}), wanted_outputs({"/a": b"2 2"})
    assert {name: one[name] == other[name] for name in one} == dict.fromkeys(NAMES, False)
    assert hashlib.sha256(b"1").hexdigest() in str(one)
