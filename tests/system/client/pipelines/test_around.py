"""What pipelines take from around them, and what is told of work: secrets, defaults, templates, clocks, reasons."""

import json
from pathlib import Path
from typing import Any

from tests.support.command_line import CommandLine
from tests.support.servers import eventually, unique

TEMPLATE = """
function(name, repo, tries="2") [
  {
    pipeline: {name: name + "_" + glob},
    input: {pfs: {repo: repo, glob: if glob == "all" then "/" else "/*"}},
    transform: {image: "none:1", cmd: ["true"]},
    datumTries: std.parseInt(tries),
  }
  for glob in ["all", "each"]
]
"""


def spec(name: str, repo: str, **more: Any) -> str:
    leaf = {"pfs": {"repo": repo, "glob": "/*"}}
    transform = {"image": "none:1", "cmd": ["true"]}
    return json.dumps({"pipeline": {"name": name}, "input": leaf, "transform": transform, **more})


def test_secrets_are_given_once_and_never_shown(line: CommandLine, repo: str, tmp_path: Path) -> None:
    word = "open sesame"
    (tmp_path / "word").write_text(word)
    name, other = unique("door"), unique("door")
    line.ok("create", "secret", name, "--from-file", f"word={tmp_path / 'word'}")
    document = f"kind: Secret\nmetadata: {{name: {other}}}\nstringData:\n  word: {word}\n"
    line.ok("create", "secret", "-f", "-", stdin=document)
    shown = [
        line.ok("list", "secret").out,
        line.ok("inspect", "secret", name).out,
        line.ok("list", "secret", "--raw").out,
    ]
    assert all(name in text and "Opaque" in text and word not in text for text in shown)
    twice = line.run("create", "secret", name, "--from-file", "word=-", stdin=word)
    assert (twice.code, twice.err.count("\n")) == (1, 1)
    assert twice.err.startswith(f'datamill: failed to create secret: secrets "{name}" already exists; to change')
    wrong = line.run("create", "secret", "-f", "-", stdin=f"{{stringData: {{word: {word}")
    assert (wrong.code, wrong.err) == (2, "datamill: standard input:1: neither JSON nor YAML\n")
    assert line.run("create", "secret", name).code == 2
    line.ok("put", "file", f"{repo}@master:/a", stdin="x")
    pipeline = unique("opens").replace("-", "_")
    transform = {
        "image": "none:1",
        "cmd": ["sh", "-c", 'cat "$WORD_FROM/word" > /pfs/out/file; printf "%s" "$WORD" > /pfs/out/variable'],
        "env": {"WORD_FROM": str(tmp_path / "mounted")},
        "secrets": [{"name": name, "mountPath": str(tmp_path / "mounted"), "key": "word", "envVar": "WORD"}],
    }
    line.ok("create", "pipeline", stdin=spec(pipeline, repo, transform=transform))
    line.ok("wait", "commit", f"{pipeline}@master")
    assert [line.ok("get", "file", f"{pipeline}@master:/{file}").out for file in ("file", "variable")] == [word, word]
    line.ok("delete", "pipeline", pipeline)
    line.ok("delete", "secret", name)
    line.ok("delete", "secret", other)
    gone = line.run("inspect", "secret", name)
    assert (gone.code, "not found" in gone.err) == (1, True)


def test_defaults_of_a_project_and_of_all(line: CommandLine, repo: str) -> None:
    project = unique("defaults")
    line.ok("create", "project", project)
    line.ok("create", "repo", f"{project}/data")
    mine = ("--project", project)
    line.ok("create", "pipeline", *mine, stdin=spec("a", "data"))
    line.ok("create", "pipeline", *mine, stdin=spec("b", "data", datumTries=2))
    given = "# tries\ncreatePipelineRequest:\n  datum_tries: 5\n"
    assert line.ok("create", "defaults", *mine, stdin=given).out == "no affected pipelines\n"
    assert json.loads(line.ok("inspect", "defaults", *mine).out) == {"createPipelineRequest": {"datum_tries": 5}}
    assert "datum_tries: 5" in line.ok("inspect", "defaults", *mine, "--raw", "-o", "yaml").out
    tried = line.ok("update", "defaults", *mine, "--regenerate", "--dry-run", stdin=given.replace("5", "6"))
    assert tried.out == f"{project}/a\n"
    assert line.ok("update", "defaults", *mine, "--regenerate", stdin=given).out == f"{project}/a\n"
    info = line.ok("inspect", "pipeline", "a", *mine, "--raw").objects[0]
    assert (info["version"], info["details"]["datum_tries"]) == ("2", "5")
    assert line.ok("delete", "defaults", *mine, "--reprocess").out == f"{project}/a\n"
    assert line.ok("inspect", "defaults", *mine).out == "{}\n"
    wrong = line.run("create", "defaults", "--cluster", stdin="createPipelineRequest:\n  datumTrys: 5\n")
    hint = 'did you mean "datumTries"?'
    assert wrong.code == 2
    assert wrong.err.startswith(
        'datamill: standard input:2: unexpected field "datumTrys" in createPipelineRequest; ' + hint
    )
    assert "createPipelineRequest" in line.ok("inspect", "defaults", "--cluster").out
    for options in ((), ("--cluster", *mine)):
        assert line.run("inspect", "defaults", *options).code == 2
    line.ok("delete", "pipeline", "--all", *mine)


def test_templates_give_pipelines(line: CommandLine, repo: str, tmp_path: Path) -> None:
    name = unique("made").replace("-", "_")
    (tmp_path / "two.jsonnet").write_text(TEMPLATE)
    made = ("--jsonnet", str(tmp_path / "two.jsonnet"), "--arg", f"name={name}")
    missing = line.run("create", "pipeline", *made)
    assert (missing.code, "template err: " in missing.err) == (1, True)
    line.ok("create", "pipeline", *made, "--arg", f"repo={repo}")
    line.ok("update", "pipeline", *made, "--arg", f"repo={repo}", "--arg", "tries=1")
    infos = {one: line.ok("inspect", "pipeline", f"{name}_{one}", "--raw").objects[0] for one in ("all", "each")}
    assert {one: info["details"]["input"]["pfs"]["glob"] for one, info in infos.items()} == {"all": "/", "each": "/*"}
    assert {(info["version"], info["details"]["datum_tries"]) for info in infos.values()} == {("2", "1")}
    for options, said in (
        (("--arg", "name"), "invalid template argument"),
        (("-f", "x.json"), "cannot set both --file and --jsonnet; exactly one must be set"),
    ):
        done = line.run("create", "pipeline", "--jsonnet", str(tmp_path / "two.jsonnet"), *options)
        assert (done.code, said in done.err) == (2, True)
    for one in infos:
        line.ok("delete", "pipeline", f"{name}_{one}")


def test_a_clock_is_ticked_by_hand(line: CommandLine, repo: str) -> None:
    name = unique("ticks").replace("-", "_")
    line.ok("create", "pipeline", stdin=spec(name, "", input={"cron": {"name": "tick", "spec": "@yearly"}}))
    line.ok("run", "cron", name)
    assert "1 + 0 / 1" in line.ok("wait", "job", f"{name}@master").out
    line.ok("create", "pipeline", stdin=spec(f"{name}_none", repo))
    refused = line.run("run", "cron", f"{name}_none")
    assert (refused.code, "cron input" in refused.err) == (1, True)
    line.ok("delete", "pipeline", name)
    line.ok("delete", "pipeline", f"{name}_none")


def test_why_a_datum_ran_and_what_a_job_waits_for(line: CommandLine, repo: str) -> None:
    name = unique("asked").replace("-", "_")
    line.ok("put", "file", f"{repo}@master:/a", stdin="x")
    line.ok("create", "pipeline", stdin=spec(name, repo))
    line.ok("wait", "job", f"{name}@master")
    datum = line.ok("list", "datum", f"{name}@master", "--raw").objects[0]["datum"]["id"]
    assert "no base" in line.ok("explain", "datum", f"{name}@master", datum).out
    line.ok("put", "file", f"{repo}@master:/a", stdin="y")
    line.ok("wait", "job", f"{name}@master")
    datum = line.ok("list", "datum", f"{name}@master", "--raw").objects[0]["datum"]["id"]
    said = line.ok("explain", "datum", f"{name}@master", datum).out
    assert f"content changed: {repo}:/a" in said
    assert "Held against:" in said
    assert [line.ok("explain", "datum", f"{name}@master", other).out for other in ("/a", datum[:9])] == [said, said]
    nothing = line.run("inspect", "datum", f"{name}@master", "/b")
    assert (nothing.code, f"is or reads /b; `datamill list datum {name}@" in nothing.err) == (1, True)
    ended = line.ok("why", "job", f"{name}@master").out
    assert ended.count("\n") == 1
    line.ok("stop", "pipeline", name)
    assert f"`datamill start pipeline {name}` lets it go on\n" in line.ok("why", "job", f"{name}@master").out
    line.ok("start", "pipeline", name)
    line.ok("start", "commit", f"{repo}@master")
    eventually(lambda: "input open" in line.run("why", "job", f"{name}@master").out, "a job that waits")
    waiting = line.ok("why", "job", f"{name}@master", "--raw").objects[0]
    assert [wait["kind"] for wait in waiting["waits"]] == ["KIND_INPUT_OPEN"]
    line.ok("finish", "commit", f"{repo}@master")
    crossed = {"cross": [{"pfs": {"repo": repo, "glob": "/*"}}, {"pfs": {"repo": repo, "name": "all", "glob": "/"}}]}
    changed = {**json.loads(spec(name, repo, input=crossed)), "transform": {"cmd": ["sleep", "1000"]}}
    line.ok("update", "pipeline", stdin=json.dumps(changed))
    eventually(lambda: "JOB_RUNNING" in line.ok("list", "job", name, "--raw").out, "a job that runs")
    assert "is with worker" in line.ok("explain", "datum", f"{name}@master", "/a").out, "named by a path while it runs"
    line.ok("delete", "pipeline", name)
    missing = line.run("explain", "datum", f"{name}@{waiting['job']['id']}", datum)
    assert (missing.code, missing.err.count("\n")) == (1, 1)
