"""Sets through the real shim: inputs in, user code, outputs and meta out, failures in between."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from datamill.wire import pps_v2_pb2 as pps
from tests.system.worker.conftest import Start
from tests.system.worker.doubles import JOB, Double, datum, pipeline

SUCCESS, FAILED, RECOVERED = pps.DatumState.SUCCESS, pps.DatumState.FAILED, pps.DatumState.RECOVERED


def shell(*lines: str, **more: Any) -> pps.PipelineInfo:
    return pipeline("sh", stdin=list(lines), **more)


def test_a_set_of_copies(double: Double, start: Start) -> None:
    double.put({f"/{number}.txt": f"file {number}".encode() * 10 for number in range(20)})
    double.give(*(datum(number, f"/{number}.txt") for number in range(20)))
    with start(shell('cp "$in" /pfs/out/')):
        answer = double.done()
    assert [result.state for result in answer.results] == [SUCCESS] * 20
    assert [list(result.outputs) for result in answer.results] == [[f"/{number}.txt"] for number in range(20)]
    outputs = double.content_of(answer.output_file_set_id)
    assert outputs == {f"/{number}.txt": f"file {number}".encode() * 10 for number in range(20)}
    known = {file.digest for file in double.files.values()}
    stored = {blob.digest for blobs in double.sealed.values() for blob in blobs}
    assert not known & stored, "content that the store has was written again"
    meta = double.content_of(answer.meta_file_set_id)
    first = f"{0:064x}"
    assert meta[f"/pfs/{first}/in/0.txt"] == meta[f"/pfs/{first}/out/0.txt"] == b"file 0" * 10
    said = json.loads(meta[f"/meta/{first}/meta"])
    assert (said["job"]["id"], said["state"], said["inputs"][0]["fileInfo"]["file"]["path"]) == (
        JOB,
        "PROCESSED",
        "/0.txt",
    )
    assert f"PACH_DATUM_ID={first}\n" in meta[f"/pfs/{first}/.env"].decode()
    assert double.calls["StartPack"] == double.calls["SealPack"] == double.calls["ResolveFiles"] == 1


def test_directories_big_files_and_empty_ones(double: Double, start: Start) -> None:
    big = bytes(range(256)) * (48 << 10)
    double.put({"/d/a/b": b"deep", "/d/empty": b"", "/d/big": big, "/other": b"not wanted"})
    double.give(datum(1, "/d/", size=len(big)))
    with start(
        shell("cd /pfs/in", "find . -type f | sort", "cp -r d /pfs/out/copy", "cat d/big d/big > /pfs/out/twice")
    ):
        answer = double.done()
        double.wait_for(lambda: len(double.texts("stdout")) == 3)
    assert answer.results[0].state == SUCCESS
    outputs = double.content_of(answer.output_file_set_id)
    assert outputs == {"/copy/a/b": b"deep", "/copy/empty": b"", "/copy/big": big, "/twice": big + big}
    assert double.texts("stdout") == ["./d/a/b", "./d/big", "./d/empty"]
    assert answer.results[0].stats.download_bytes == len(big) + 4


def test_a_store_that_is_no_folder_here(double: Double, start: Start) -> None:
    double.shared = False
    double.put({"/a": b"a" * 100, "/big": b"0123456789" * 600_000})
    double.give(datum(1, "/a"), datum(2, "/big"))
    with start(shell("tr a b < $in > /pfs/out/$(basename $in)")):
        answer = double.done()
    outputs = double.content_of(answer.output_file_set_id)
    assert outputs == {"/a": b"b" * 100, "/big": b"0123456789" * 600_000}
    assert double.calls["GetFile"] >= 2


def test_what_user_code_sees(double: Double, start: Start) -> None:
    double.put({"/dir/f": b"x"})
    double.give(datum(1, "/dir/f"))
    script = [
        "ls -A /pfs | grep -v -e '^.scratch$' -e '^.memory$' | tr '\\n' ' ' > /pfs/out/ls",
        "env > /pfs/out/env",
        "cp /pfs/.env /pfs/out/dotenv",
        "pwd > /pfs/out/pwd",
        "echo changed >> $in",
        "ps -o sid= -p $$ > /pfs/out/sid; echo $$ > /pfs/out/pid",
    ]
    with start(shell(*script, env={"MINE": "a b", "PYTHONPATH": "/mine"}, working_dir="/usr")):
        answer = double.done()
    seen = {path: data.decode() for path, data in double.content_of(answer.output_file_set_id).items()}
    assert seen["/ls"].split() == [".env", "in", "out"]
    assert seen["/pwd"] == "/usr\n"
    assert seen["/sid"].strip() == seen["/pid"].strip()
    env = dict(line.split("=", 1) for line in seen["/dotenv"].splitlines())
    wanted = {
        "in": "/pfs/in/dir/f",
        "in_COMMIT": "0" * 12 + "4" + "0" * 19,
        "PACH_DATUM_ID": f"{1:064x}",
        "PACH_JOB_ID": JOB,
        "PACH_OUTPUT_COMMIT_ID": JOB,
        "PPS_PIPELINE_NAME": "edges",
        "PACH_IN_WORKER": "true",
        "MINE": "'a b'",
        "PYTHONPATH": "/mine",
    }
    assert {key: env.get(key) for key in wanted} == wanted
    assert "MINE=a b" in seen["/env"].splitlines()
    assert not [key for key in env if key.startswith("WORKER_")]
    assert "a-secret-token" not in seen["/dotenv"] + seen["/env"]
    assert double.read(double.files["/dir/f"]) == b"x", "user code changed the repo's own bytes"


def test_user_code_that_asks_for_it_gets_a_file_set_of_its_inputs(double: Double, start: Start) -> None:
    double.put({"/a": b"1", "/d/b": b"2", "/d/c": b"3"})
    double.give(datum(1, "/a"), datum(2, "/d/"))
    with start(shell('test -n "$FILESET_ID" && echo $FILESET_ID > /pfs/out/$PACH_DATUM_ID')):
        answer = double.done()
    outputs = double.content_of(answer.output_file_set_id)
    assert set(outputs) == {f"/{n:064x}" for n in (1, 2)}
    assert len(set(outputs.values())) == 1, "one file set for the whole set"
    named = double.content_of(outputs[f"/{1:064x}"].decode().strip())
    assert named == {f"/pfs/{1:064x}/a": b"1", f"/pfs/{2:064x}/d/b": b"2", f"/pfs/{2:064x}/d/c": b"3"}


def test_the_service_token_is_nowhere_in_proc(double: Double, start: Start, tmp_path: Path) -> None:
    double.put({"/f": b"x"})
    double.give(datum(1, "/f"))
    (tmp_path / "token").write_text("another-secret")
    script = "cat /proc/[0-9]*/environ | tr '\\0' '\\n' > /tmp/$$; grep -c another-secret /tmp/$$ > /pfs/out/token"
    script += "; grep -c ^WORKER_NAME= /tmp/$$ > /pfs/out/name; rm /tmp/$$"
    with start(shell(script), service_token="", token_file=tmp_path / "token"):
        answer = double.done()
    assert not (tmp_path / "token").exists()
    assert double.tokens == {"another-secret"}
    seen = double.content_of(answer.output_file_set_id)
    assert int(seen["/token"]) == 0
    assert int(seen["/name"]) > 0, "nothing was to be seen at all"


def test_a_failing_datum_uses_its_tries_and_leaves_the_others_alone(double: Double, start: Start) -> None:
    double.put({"/good": b"1", "/bad": b"2"})
    double.give(datum(1, "/bad"), datum(2, "/good"))
    with start(shell('echo part > /pfs/out/part; test "$in" = /pfs/in/good || exit 7', datum_tries=3)):
        answer = double.done()
        double.wait_for(lambda: sum("errored running user code after" in text for text in double.texts()) == 3)
    bad, good = answer.results
    assert (bad.state, good.state) == (FAILED, SUCCESS)
    assert "exit status 7" in bad.reason
    assert [entry.datum for entry in double.file_sets[answer.output_file_set_id]] == [f"{2:064x}"]
    assert double.content_of(answer.meta_file_set_id)[f"/pfs/{1:064x}/out/part"] == b"part\n"
    assert json.loads(double.content_of(answer.meta_file_set_id)[f"/meta/{1:064x}/meta"])["state"] == "FAILED"


def test_the_error_handler_recovers_a_datum(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    info = shell("exit 1", err_cmd=["sh"], err_stdin=["echo handled $PACH_DATUM_ID"], datum_tries=1)
    with start(info):
        answer = double.done()
        double.wait_for(lambda: f"handled {1:064x}" in double.texts("stdout"))
    assert answer.results[0].state == RECOVERED
    assert not answer.output_file_set_id


def test_accepted_codes_succeed(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    with start(shell("exit 5", accept_return_code=[5])):
        assert double.done().results[0].state == SUCCESS


def test_a_hanging_datum_is_killed_with_all_it_started(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    info = shell("sleep 1000 &", "setsid sleep 1001 &", "wait", datum_timeout=0.3, datum_tries=1)
    with start(info):
        began = time.monotonic()
        answer = double.done()
        assert time.monotonic() - began < 60
    assert answer.results[0].state == FAILED
    assert "timeout of 0.3s" in answer.results[0].reason
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [line for line in commands if line in (b"sleep\x001000\x00", b"sleep\x001001\x00")]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no-such-program",), "command 'no-such-program' not found in PATH"),
        (("/nowhere/prog",), "command '/nowhere/prog' not found"),
        (("/etc/passwd",), "cannot run '/etc/passwd': Permission denied"),
    ],
)
def test_a_command_that_cannot_be_run(double: Double, start: Start, command: tuple[str, ...], reason: str) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    with start(pipeline(*command, datum_tries=1)):
        answer = double.done()
    assert answer.results[0].state == FAILED
    assert answer.results[0].reason.startswith(reason)


def test_bad_file_names_fail_the_datum_in_the_known_words(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    double.give(datum(1, "/f"))
    with start(shell("touch '/pfs/out/a*b'")):
        result = double.done().results[0]
    assert result.state == FAILED
    assert result.reason == (
        "cannot upload file produced by the user code because its name cannot be represented in PFS: "
        "path (/a*b) invalid: globbing character (*) not allowed in path"
    )


def test_empty_files_stand_for_their_content(double: Double, start: Start) -> None:
    double.put({"/f": b"the content"})
    double.give(datum(1, "/f", empty=True))
    with start(shell("wc -c < $in", "ln -s $in /pfs/out/link")):
        answer = double.done()
        double.wait_for(lambda: double.texts("stdout") == ["0"])
    assert double.content_of(answer.output_file_set_id) == {"/link": b"the content"}
    assert double.content_of(answer.meta_file_set_id)[f"/pfs/{1:064x}/in/f"] == b""
