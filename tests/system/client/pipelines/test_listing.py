"""Lists of pipelines, jobs and datums that show only some, and jobs of one change that are stopped together."""

import json
from collections.abc import Mapping

from tests.support.command_line import CommandLine
from tests.support.servers import eventually, unique


def spec(name: str, input: Mapping[str, object], *cmd: str) -> str:
    return json.dumps({
        "pipeline": {"name": name}, "input": input, "transform": {"image": "none:1", "cmd": cmd}, "datumTries": 1,
    })  # fmt: skip


def test_only_what_is_in_a_state(line: CommandLine, repo: str) -> None:
    good, bad = unique("good").replace("-", "_"), unique("bad").replace("-", "_")
    line.ok("put", "file", f"{repo}@master:/a", stdin="x")
    leaf = {"pfs": {"repo": repo, "glob": "/*"}}
    line.ok("create", "pipeline", stdin=spec(good, leaf, "true"))
    line.ok("create", "pipeline", stdin=spec(bad, leaf, "sh", "-c", "test $(basename $" + repo + ") != a"))
    line.ok("wait", "job", f"{good}@master")
    assert line.run("wait", "job", f"{bad}@master").code == 1
    line.ok("put", "file", f"{repo}@master:/b", stdin="x")
    line.ok("wait", "job", f"{good}@master")
    assert line.run("wait", "job", f"{bad}@master").code == 1

    def jobs(*args: str) -> list[tuple[str, str]]:
        found = line.ok("list", "job", "--raw", *args).objects
        return [(info["job"]["pipeline"]["name"], info["state"]) for info in found]

    assert jobs("-p", good, "--state", "FAILURE") == []
    assert jobs("-p", bad, "--state", "failure", "--state", "JOB_KILLED") == [(bad, "JOB_FAILURE")] * 2
    assert jobs("-x", "-i", f"{repo}@master") == jobs("-i", f"{repo}@master")
    assert sorted(jobs("-i", f"{repo}@master")) == [(bad, "JOB_FAILURE"), (good, "JOB_SUCCESS")]
    assert (bad, "JOB_FAILURE") in jobs("--state", "failure")
    assert (good, "JOB_SUCCESS") not in jobs("--state", "failure")
    wrong = line.run("list", "job", "--state", "fine")
    assert (wrong.code, "'fine' is no state; there are created, starting, running" in wrong.err) == (2, True)
    id = line.ok("inspect", "commit", f"{repo}@master", "--raw").objects[0]["commit"]["id"]
    refused = line.run("list", "job", id, "--state", "success", "-p", good)
    assert (refused.code, "cannot specify --pipeline, --state" in refused.err) == (2, True)

    def datums(*states: str) -> list[str]:
        options = [word for state in states for word in ("--state", state)]
        return [info["state"] for info in line.ok("list", "datum", f"{bad}@master", "--raw", *options).objects]

    assert sorted(datums()) == ["FAILED", "SUCCESS"]
    assert datums("failed") == ["FAILED"]
    assert datums("success", "skipped") == ["SUCCESS"]

    line.ok("stop", "pipeline", good)
    paused = line.ok("list", "pipeline", "--state", "paused", "--raw").objects
    assert good in [info["pipeline"]["name"] for info in paused]
    assert bad not in [info["pipeline"]["name"] for info in paused]
    assert line.ok("check", "status", "-A").out == "PIPELINE  ALERT\n"
    line.ok("delete", "pipeline", good)
    line.ok("delete", "pipeline", bad)


def test_versions_as_they_were(line: CommandLine, repo: str) -> None:
    name = unique("versions").replace("-", "_")
    leaf = {"pfs": {"repo": repo, "glob": "/*"}}
    line.ok("create", "pipeline", stdin=spec(name, leaf, "true"))
    first = line.ok("list", "job", "-p", name, "--raw").objects[0]["job"]["id"]
    line.ok("update", "pipeline", stdin=spec(name, leaf, "false"))
    line.ok("rerun", "pipeline", name, "--reprocess")
    assert [info["version"] for info in line.ok("list", "pipeline", name, "--raw", "--history", "1").objects] == [
        "3",
        "2",
    ]
    then = line.ok("list", "pipeline", name, "-c", first, "--raw").objects
    assert [(info["version"], info["details"]["transform"]["cmd"]) for info in then] == [("1", ["true"])]
    assert len(line.ok("list", "job", "-p", name, "--history", "none", "--raw").objects) == 1
    assert len(line.ok("list", "job", "-p", name, "--history", "all", "--raw").objects) == 3
    assert len(line.ok("list", "job", name, "--raw").objects) == 3
    near = line.run("list", "job", name[:-1])
    assert (near.code, f'did you mean "{name}"? `datamill list pipeline` shows' in near.err) == (1, True)
    newest = [info["job"]["pipeline"]["name"] for info in line.ok("list", "job", "--history", "none", "--raw").objects]
    assert newest.count(name) == 1
    line.ok("delete", "pipeline", name)


def test_jobs_of_one_change_are_stopped_together(line: CommandLine, repo: str) -> None:
    """Also the one that reads what another would have written: it is stopped like that one, and not left without."""
    first, second, below = (unique(name).replace("-", "_") for name in ("slow", "slow", "below"))
    leaf = {"pfs": {"repo": repo, "glob": "/*"}}
    line.ok("create", "pipeline", stdin=spec(first, leaf, "sleep", "600"))
    line.ok("create", "pipeline", stdin=spec(second, leaf, "sleep", "600"))
    line.ok("create", "pipeline", stdin=spec(below, {"pfs": {"repo": first, "glob": "/*"}}, "true"))
    line.ok("put", "file", f"{repo}@master:/a", stdin="x")
    id = line.ok("inspect", "commit", f"{repo}@master", "--raw").objects[0]["commit"]["id"]
    eventually(lambda: len(line.ok("list", "job", id, "--raw").objects) == 3, "three jobs")

    def of_change() -> list[str]:
        return [
            task["state"] for task in line.ok("list", "task", "pps", "--raw").objects if task["group"]["group"] == id
        ]

    eventually(lambda: of_change() == ["CLAIMED"] * 3, "work in flight, and one that awaits its input")
    assert line.ok("list", "task").out.count(id) == 3
    wanted = f"└─ {second} [running]\n"
    eventually(lambda: wanted in line.ok("draw", "pipeline").out, "running")
    line.ok("stop", "job", id)
    waited = line.run("wait", "job", id)
    assert waited.code == 1
    assert {info["state"] for info in line.ok("list", "job", id, "--raw").objects} == {"JOB_KILLED"}
    line.ok("delete", "pipeline", "--all", "--force")
    assert line.ok("list", "pipeline", "--raw").objects == []


def test_datums_of_a_pipeline_that_is_not_there(line: CommandLine, repo: str) -> None:
    line.ok("put", "file", f"{repo}@master:/a", stdin="x")
    line.ok("put", "file", f"{repo}@master:/b", stdin="x")
    wanted = spec("nobodys", {"cross": [{"pfs": {"repo": repo, "glob": "/*", "name": side}} for side in "lr"]}, "true")
    assert len(line.ok("list", "datum", "-f", "-", "--raw", stdin=wanted).objects) == 4
    cron = spec("nobodys", {"cron": {"name": "tick", "spec": "@hourly"}}, "true")
    refused = line.run("list", "datum", "-f", "-", stdin=cron)
    assert (refused.code, "can't list datums with a cron input" in refused.err) == (1, True)
