"""The command line against a whole instance, started and stopped by it: every verb, for people and for scripts."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine, command
from tests.support.servers import eventually, unique

SPEC = """
# counts the letters of each file
pipeline: {{name: {name}}}
input: {{pfs: {{repo: {repo}, glob: "/*"}}}}
transform:
  image: none:1
  cmd: [bash]
  stdin:
    - for file in /pfs/{repo}/*; do echo "seen $(basename $file)"; wc -c < $file > /pfs/out/$(basename $file); done
"""
FAILING = """
pipeline: {{name: {name}}}
input: {{pfs: {{repo: {repo}, glob: "/*"}}}}
transform: {{image: "none:1", cmd: ["sh", "-c", "echo sorry; exit 1"]}}
datumTries: 1
"""


def raw(line: CommandLine, *args: str) -> list[dict[str, Any]]:
    return line.ok(*args, "--raw").objects


def test_the_instance_says_how_it_is(line: CommandLine) -> None:
    status = line.ok("status")
    assert status.out.count(" up ") >= 5
    assert line.run("doctor").code == 0
    version = line.ok("version")
    assert version.out.startswith("client  ")
    assert "server  " in version.out
    assert raw(line, "version")[0]["major"] >= 2


def test_projects(line: CommandLine) -> None:
    name = unique("project")
    line.ok("create", "project", name, "-d", "one")
    line.ok("update", "project", name, "-d", "two")
    assert raw(line, "inspect", "project", name)[0]["description"] == "two"
    assert name in line.ok("list", "project").out
    line.ok("create", "repo", f"{name}/inner")
    assert line.ok("list", "repo", "--project", name).out.split("\n")[1].startswith(f"{name}/inner")
    assert f"{name}/inner" in line.ok("list", "repos", "-A").out
    refused = line.run("delete", "project", name)
    assert refused.code == 1
    assert refused.err.count("\n") == 1
    line.ok("delete", "project", name, "--force")
    gone = line.run("inspect", "project", name)
    assert (gone.code, "`datamill list project` shows what there is" in gone.err) == (1, True)


def test_repos_and_branches(line: CommandLine, repo: str) -> None:
    assert "some words" in line.ok("inspect", "repo", repo).out
    line.ok("update", "repo", repo, "-d", "other words")
    assert raw(line, "inspect", "repo", repo)[0]["description"] == "other words"
    exists = line.run("create", "repo", repo)
    assert (exists.code, exists.err) == (1, f"datamill: repo default/{repo} already exists\n")
    line.ok("put", "file", f"{repo}@master:/x", stdin="1")
    line.ok("create", "branch", f"{repo}@other", "--head", "master")
    assert raw(line, "inspect", "branch", f"{repo}@other")[0]["head"]["id"]
    assert len(raw(line, "list", "branch", repo)) == 2
    assert "other" in line.ok("list", "branches", repo).out
    line.ok("delete", "branch", f"{repo}@other")
    line.ok("delete", "repo", repo)
    missing = line.run("delete", "repo", repo)
    assert (missing.code, f"repo default/{repo} not found" in missing.err) == (1, True)


def test_commits(line: CommandLine, repo: str) -> None:
    first = line.ok("start", "commit", f"{repo}@master", "-m", "first").out.strip()
    line.ok("put", "file", f"{repo}@{first}:/a", stdin="1")
    line.ok("finish", "commit", f"{repo}@master")
    assert "finished" in line.ok("wait", "commit", f"{repo}@master").out
    assert raw(line, "wait", "commit", first)[0]["commit"]["id"] == first
    line.ok("put", "file", f"{repo}@master:/b", stdin="2")
    assert [info["commit"]["id"] for info in raw(line, "list", "commit", f"{repo}@master")][1] == first
    assert raw(line, "list", "commit", repo, "-n", "1")[0]["parent_commit"]["id"] == first
    assert raw(line, "list", "commit", first)[0]["description"] == "first"
    assert first in line.ok("list", "commit").out
    assert "first" in line.ok("inspect", "commit", f"{repo}@{first}").out
    line.ok("wait", "commit", f"{repo}@master")
    line.ok("squash", "commit", f"{repo}@{first}")
    assert line.ok("get", "file", f"{repo}@master:/a").out == "1"
    line.ok("delete", "commit", f"{repo}@master")
    unknown = line.run("wait", "commit", f"{repo}@nothing")
    assert (unknown.code, unknown.err.count("\n")) == (1, 1)


def test_files(line: CommandLine, repo: str, tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    for number in range(30):
        (tmp_path / f"in/deep/{number}").write_text(f"line one\nline {number}\n")
    (tmp_path / "one.txt").write_text("one\n")
    line.ok("put", "file", f"{repo}@master", "-f", str(tmp_path / "one.txt"))
    line.ok("put", "file", f"{repo}@master:/in", "-r", "-f", str(tmp_path / "in"))
    line.ok("put", "file", f"{repo}@master:/one.txt", "-a", stdin="more\n")
    assert line.ok("get", "file", f"{repo}@master:/one.txt").out == "one\nmore\n"
    assert line.ok("get", "file", f"{repo}@master:/one.txt", "--offset", "4").out == "more\n"
    line.ok("get", "file", f"{repo}@master:/in", "-r", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/deep/29").read_text() == "line one\nline 29\n"
    line.ok("get", "file", f"{repo}@master:/one.txt", "-o", str(tmp_path / "saved"))
    assert (tmp_path / "saved").read_text() == "one\nmore\n"
    assert len(raw(line, "list", "file", f"{repo}@master:/in/deep")) == 30
    assert len(raw(line, "list", "file", f"{repo}@master", "-r")) == 34
    assert len(raw(line, "glob", "file", f"{repo}@master:/in/deep/1*")) == 11
    assert raw(line, "inspect", "file", f"{repo}@master:/in")[0]["file_type"] == "DIR"
    line.ok("copy", "file", f"{repo}@master:/one.txt", f"{repo}@master:/copies/one.txt")
    line.ok("delete", "file", f"{repo}@master:/in", "-r")
    assert len(raw(line, "list", "file", f"{repo}@master", "-r")) == 4
    folder = line.run("get", "file", f"{repo}@master:/copies")
    assert (folder.code, "Use -r to get a folder" in folder.err) == (1, True)
    missing = line.run("get", "file", f"{repo}@master:/nothing", "-o", str(tmp_path / "saved"))
    assert (missing.code, "file /nothing not found" in missing.err) == (1, True)
    assert (tmp_path / "saved").read_text() == "one\nmore\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "one.txt", "out", "saved"]
    bad = line.run("put", "file", f"{repo}@master:/a*b", stdin="x")
    assert (bad.code, "globbing character (*) not allowed in path" in bad.err) == (1, True)


def test_differences(line: CommandLine, repo: str) -> None:
    line.ok("put", "file", f"{repo}@master:/text", stdin="one\ntwo\n")
    line.ok("put", "file", f"{repo}@master:/gone", stdin="x")
    line.ok("start", "commit", f"{repo}@master")
    line.ok("put", "file", f"{repo}@master:/text", stdin="one\n2\n")
    line.ok("put", "file", f"{repo}@master:/new", stdin=b"\0\1")
    line.ok("delete", "file", f"{repo}@master:/gone")
    line.ok("finish", "commit", f"{repo}@master")
    shown = line.ok("diff", "file", f"{repo}@master").out
    assert "-two\n+2\n" in shown
    assert "added /new (2 B)" in shown
    assert "--- a/gone\n+++ /dev/null" in shown
    names = line.ok("diff", "file", f"{repo}@master", f"{repo}@master^1", "--name-only").out
    assert [words.split()[:2] for words in names.splitlines()[1:]] == [
        ["deleted", "/gone"], ["added", "/new"], ["changed", "/text"],
    ]  # fmt: skip
    assert len(raw(line, "diff", "file", f"{repo}@master")) == 4


def test_a_pipeline_from_its_making_to_its_end(line: CommandLine, repo: str, tmp_path: Path) -> None:
    name = unique("count").replace("-", "_")
    spec = SPEC.format(name=name, repo=repo)
    (tmp_path / "spec.yaml").write_text(spec)
    line.ok("put", "file", f"{repo}@master:/a", stdin="four")
    merged = json.loads(line.ok("create", "pipeline", "--dry-run", stdin=spec).out)
    assert merged["pipeline"]["name"] == name
    line.ok("create", "pipeline", "-f", str(tmp_path / "spec.yaml"))
    twice = line.run("create", "pipeline", "-f", str(tmp_path / "spec.yaml"))
    assert (twice.code, f'pipeline "default/{name}" already exists' in twice.err) == (1, True)
    assert name in line.ok("list", "pipeline").out
    assert raw(line, "inspect", "pipeline", name)[0]["pipeline"]["name"] == name
    assert f"{repo}:/*" in line.ok("inspect", "pipeline", name).out
    id = raw(line, "list", "job", "-p", name)[0]["job"]["id"]
    assert "success" in line.ok("wait", "job", f"{name}@{id}").out
    line.ok("wait", "job", id)
    assert line.ok("get", "file", f"{name}@master:/a").out.strip() == "4"
    assert raw(line, "inspect", "job", f"{name}@{id}")[0]["state"] == "JOB_SUCCESS"
    assert "success" in line.ok("list", "job", id).out
    assert id in line.ok("list", "job").out
    datum = raw(line, "list", "datum", f"{name}@{id}")[0]["datum"]["id"]
    assert "/a (4 B)" in line.ok("inspect", "datum", f"{name}@{id}", datum).out
    assert datum in line.ok("list", "datum", "-f", str(tmp_path / "spec.yaml")).out
    eventually(lambda: "seen a" in line.ok("logs", f"{name}@{id}").out, "the line that the code printed")
    ends = line.ok("logs", "--job", f"{name}@{id}", "--datum", datum, "--tail", "1", "--since", "1h").out
    assert ends == "seen a\n"  # the last of the lines that are shown, though a worker's own came later
    assert line.ok("logs", f"{name}@master", "--datum", "/a").out == "seen a\n"
    assert "reads /b" in line.run("logs", f"{name}@{id}", "--datum", "/b").err
    assert raw(line, "logs", "-p", name)[0]["pipeline_name"] == name
    line.ok("stop", "pipeline", name)
    assert raw(line, "inspect", "pipeline", name)[0]["stopped"] is True
    line.ok("start", "pipeline", name)
    line.ok("update", "pipeline", "--reprocess", "-f", str(tmp_path / "spec.yaml"))
    line.ok("rerun", "pipeline", name)
    versions = raw(line, "list", "pipeline", name, "--history", "all")
    assert versions[0]["version"] == "3"
    line.ok("delete", "pipeline", name)
    assert name not in line.ok("list", "pipeline").out


def test_a_job_that_fails_fails_the_wait(line: CommandLine, repo: str) -> None:
    name = unique("fails").replace("-", "_")
    line.ok("put", "file", f"{repo}@master:/a", stdin="x")
    line.ok("create", "pipeline", stdin=FAILING.format(name=name, repo=repo))
    id = raw(line, "list", "job", "-p", name)[0]["job"]["id"]
    waited = line.run("wait", "job", f"{name}@{id}")
    assert waited.code == 1
    assert f"job {name}@{id} ended as failure: " in waited.err
    assert "failure" in waited.out
    datum = raw(line, "list", "datum", f"{name}@{id}")[0]["datum"]["id"]
    assert f"`datamill inspect datum {name}@{id} {datum}`" in waited.err
    assert "failed" in line.ok("list", "datum", f"{name}@{id}").out
    assert raw(line, "list", "datum", f"{name}@master")[0]["datum"]["id"] == datum
    shown = line.ok("inspect", "datum", f"{name}@{id}", datum).out
    assert "exit status 1" in shown
    assert "Last printed:    sorry\n" in shown
    assert f"`datamill inspect datum {name}@{id} {datum}`" in line.run("wait", "commit", f"{name}@master").err
    assert line.ok("logs", name).out == "sorry\n"
    for where in (name, f"{name}@{id}", id, datum):
        assert f"{name}@{id}: sorry\n" in line.ok("find", "logs", "s.rry", where).out
    query = f'{{pipelineName="{name}"}} |= "sorry"'
    assert line.ok("find", "log", "--logql", query, "-n", "1").out == f"{name}@{id}: sorry\n"
    assert line.ok("find", "log", "s.rry", name, "--not", "--until", "0s").out == ""
    assert line.ok("find", "log", "sorry", name, "--until", "1d", "--raw").objects == []
    line.ok("delete", "pipeline", name)


def test_a_log_of_code_that_prints_nothing_says_where_else_to_look(line: CommandLine, repo: str) -> None:
    name = unique("silent").replace("-", "_")
    line.ok("put", "file", f"{repo}@master:/a", stdin="x")
    line.ok("create", "pipeline", stdin=FAILING.format(name=name, repo=repo).replace("echo sorry;", ""))
    assert line.run("wait", "commit", f"{name}@master").code == 1
    done = line.run("logs", name)
    assert (done.code, done.out) == (0, "")
    assert "--worker" in done.err
    assert "exit status 1" in line.ok("logs", name, "--worker").out
    line.ok("delete", "pipeline", name)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("repo: {repo}", "repo: nothing_here"), 1, "not found"),
        (("transform:", "trasnform:"), 2, 'standard input:5: unexpected field "trasnform" in the spec; did you mean'),
        (("glob:", "glub:"), 2, 'standard input:4: unexpected field "glub" in input.pfs; did you mean "glob"?'),
        (("{{name: {name}}}", "{{name: {repo}}}"), 1, "cannot be its own input"),
        (("image: none:1", "image: 5"), 2, "standard input:6: transform.image: expected a text in quotes, got 5"),
    ],
)
def test_wrong_specs_are_refused_by_name(
    line: CommandLine, repo: str, change: tuple[str, str], code: int, said: str
) -> None:
    name = unique("wrong").replace("-", "_")
    spec = SPEC.replace(*change).format(name=name, repo=repo)
    done = line.run("create", "pipeline", stdin=spec)
    assert done.code == code, done
    assert said in done.err
    assert done.err.count("\n") == code  # what the client sees comes with the protocol's sentence about the whole
    assert name not in line.ok("list", "pipeline").out


def test_a_change_that_cannot_be_kept_is_told(line: CommandLine, repo: str) -> None:
    """The server takes it, and finds out when it finishes the commit that it made for it."""
    line.ok("put", "file", f"{repo}@master:/a", stdin="x")
    done = line.run("put", "file", f"{repo}@master:/a/b", stdin="x")
    assert (done.code, done.out) == (1, "")
    assert "cannot be used: file / directory path collision (/a)" in done.err
    assert f"{repo}@{raw(line, 'list', 'commit', f'{repo}@master')[0]['commit']['id']}" in done.err
    line.ok("delete", "file", f"{repo}@master:/a")


def test_an_interrupt_while_it_reads_standard_input(line: CommandLine, repo: str) -> None:
    process = subprocess.Popen(
        command("put", "file", f"{repo}@master:/endless"),
        env=line.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(bytes(3 << 20))  # more than a pipe holds: it has begun to read when this returns
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    assert process.stderr is not None
    assert process.stdout is not None
    assert process.stderr.read().strip() == b""
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    assert raw(line, "list", "commit", repo) == []


def test_following_a_log_sees_lines_come_and_ends_on_interrupt(line: CommandLine, repo: str) -> None:
    name = unique("talks").replace("-", "_")
    line.ok("create", "pipeline", stdin=SPEC.format(name=name, repo=repo))
    process = subprocess.Popen(
        command("logs", name, "-f"), env=line.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line.ok("put", "file", f"{repo}@master:/news", stdin="x")
        assert process.stdout is not None
        assert process.stdout.readline() == "seen news\n"
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err.strip()) == (130, "")
    line.ok("delete", "pipeline", name)


def test_following_goes_on_when_the_gateway_and_the_service_are_killed(line: CommandLine, repo: str) -> None:
    name = unique("talks").replace("-", "_")
    line.ok("create", "pipeline", stdin=SPEC.format(name=name, repo=repo))
    process = subprocess.Popen(
        command("logs", name, "-f"), env=line.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line.ok("put", "file", f"{repo}@master:/first", stdin="x")
        assert process.stdout.readline() == "seen first\n"
        for number, part in enumerate(("gateway", "jobs")):
            kill_part(line, part)
            eventually(lambda: line.run("list", "job").code == 0, "the instance answers again")
            line.ok("put", "file", f"{repo}@master:/more{number}", stdin="x")
            assert process.stdout.readline() == f"seen more{number}\n", "neither repeated nor lost"
    finally:
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=120)
    assert (process.returncode, rest) == (130, "")
    assert err.count("connecting again") == err.count("the server is back") >= 2, err
    line.ok("delete", "pipeline", name)


def kill_part(line: CommandLine, name: str) -> None:
    """Kill a process of the instance, and wait until its supervisor has started it again."""
    state = Path(line.environment()["DATAMILL_HOME"]) / "run" / "state.json"

    def pid() -> int:
        return next(int(part["pid"]) for part in json.loads(state.read_text())["parts"] if part["name"] == name)

    before = pid()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: pid() not in {0, before}, f"{name} is started again")


def test_a_reader_that_leaves_early_is_no_error(line: CommandLine, repo: str) -> None:
    changes = "\n".join(f"{number}" for number in range(3000))
    line.ok("put", "file", f"{repo}@master:/x", stdin=changes)
    reading, writing = os.pipe()
    process = subprocess.Popen(
        command("get", "file", f"{repo}@master:/x"), env=line.environment(), stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    os.close(reading)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (141, b"")
