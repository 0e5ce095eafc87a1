"""What user code finds in its environment, and what it must not find there."""

import subprocess
from pathlib import Path

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.worker.process import environment
from services.worker.spec import WorkerSpec


def spec(**env: str) -> WorkerSpec:
    return WorkerSpec(
        project="default",
        pipeline="edges",
        version=3,
        spec_commit="c" * 32,
        image="",
        cmd=("true",),
        stdin=(),
        err_cmd=(),
        err_stdin=(),
        env=env,
        accepted_codes=frozenset(),
        working_dir="/",
        run_as=None,
        tries=3,
        timeout=None,
        memory_volume=False,
        s3_out=False,
        batching=False,
        names_inputs=False,
        inputs={},
    )


def test_the_shims_own_variables_are_gone() -> None:
    environ = {
        "PATH": "/usr/bin",
        "HOME": "/root",
        "PYTHONPATH": "/shim",
        "WORKER_SERVICE_TOKEN": "secret",
        "WORKER_PFS": "x",
        "POSTGRES_PASSWORD": "secret",
        "PWD": "/home/somebody",
        "OLDPWD": "/home",
        "SHLVL": "2",
        "_": "/usr/bin/datamill",
        "GRPC_ENABLE_FORK_SUPPORT": "0",
    }
    seen = environment.base(environ, spec(MINE="1", PYTHONPATH="/theirs"), worker="edges-v3-0", port=4711)
    assert seen == {
        "PATH": "/usr/bin",
        "HOME": "/root",
        "PYTHONPATH": "/theirs",
        "MINE": "1",
        "PACH_IN_WORKER": "true",
        "PPS_WORKER_IP": "127.0.0.1",
        "PPS_POD_NAME": "edges-v3-0",
        "PPS_WORKER_GRPC_PORT": "4711",
        "PPS_SPEC_COMMIT": "c" * 32,
        "PPS_PROJECT_NAME": "default",
        "PPS_PIPELINE_NAME": "edges",
    }


def test_a_datum_names_its_inputs_and_itself() -> None:
    datum_set = work.DatumSet(job=pps.Job(id="j" * 32))
    datum = work.Datum(id="d" * 64)
    for name, path, commit in (("in", "/a/b.txt", "1"), ("dir-x", "/d/", "2"), ("root", "/", "3"), ("in", "/z", "4")):
        item = datum.inputs.add(name=name)
        item.file.path, item.file.commit.id = path, commit
    datum.inputs[0].join_on = "key"
    datum.inputs[1].group_by = "g"
    of_set = environment.of_set(datum_set)
    assert environment.of_set(datum_set, file_set_id="f") == [*of_set, ("FILESET_ID", "f")]
    found = [*environment.of_datum(datum), *of_set]
    assert [value for key, value in found if key == "in"] == ["/pfs/in/a/b.txt", "/pfs/in/z"]
    assert dict(found) == {
        "in": "/pfs/in/z",
        "in_COMMIT": "4",
        "PACH_DATUM_in_JOIN_ON": "key",
        "dir-x": "/pfs/dir-x/d",
        "dir-x_COMMIT": "2",
        "PACH_DATUM_dir-x_GROUP_BY": "g",
        "root": "/pfs/root",
        "root_COMMIT": "3",
        "PACH_DATUM_ID": "d" * 64,
        "PACH_JOB_ID": "j" * 32,
        "PACH_OUTPUT_COMMIT_ID": "j" * 32,
    }


def test_the_file_is_lines_that_a_shell_can_read(tmp_path: Path) -> None:
    assert environment.as_file([("A", "1"), ("B", "x=/y-z"), ("A", "2")]) == b"A=1\nB=x=/y-z\nA=2\n"
    awkward = {"A": "1 2", "B": "(a|b); c & d > e #f", "C": 'it\'s "$HOME" `id` \\', "D": "x\ny", "E": "", "F": "~"}
    (tmp_path / "env").write_bytes(environment.as_file(awkward.items()))
    shown = ["sh", "-c", f'. {tmp_path}/env; printf \'%s\\0\' "$A" "$B" "$C" "$D" "$E" "$F"']
    seen = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    assert seen.split("\0")[:-1] == list(awkward.values())
