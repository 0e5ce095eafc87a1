"""Spec files on their way to pipelines and back: many in a file, listed, edited, rendered, and made again."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.support.command_line import CommandLine
from tests.support.servers import unique

MANY = """
# two documents, the second of them a list, with a comma too many
pipeline: {{name: {name}_a}}
input: {{pfs: {{repo: {repo}, glob: "/*"}}}}
transform: {{image: "none:1", cmd: [sh], stdin: ["true"]}}
---
[
\t{{"pipeline": {{"name": "{name}_b"}}, "input": {{"pfs": {{"repo": "{repo}", "glob": "/"}}}}, "datum_tries": "2",
\t "transform": {{"image": "none", "cmd": ["true"]}},}},
\t{{"pipeline": {{"name": "{name}_c"}}, "transform": {{"image": "none:latest", "cmd": ["true"]}}, "$schema": "x"}},
]
"""


def named(line: CommandLine, *args: str) -> list[str]:
    return sorted(info["pipeline"]["name"] for info in line.ok(*args).objects)


def test_specs_are_made_listed_and_made_again(line: CommandLine, repo: str, tmp_path: Path) -> None:
    name = unique("many").replace("-", "_")
    mine = [f"{name}_{letter}" for letter in "abc"]
    made = line.run("create", "pipeline", stdin=MANY.format(name=name, repo=repo))
    assert made.code == 0, made
    assert [text.split(" for ")[0] for text in made.err.splitlines()] == [
        "WARNING: please specify a tag",
        "WARNING: please do not specify the ':latest' tag",
    ]
    written = line.ok("list", "pipeline", "-s").out
    (tmp_path / "all.json").write_text(written)
    specs = [json.loads(text) for text in written.splitlines()]
    tries = {spec["pipeline"]["name"]: spec["datum_tries"] for spec in specs}
    assert [tries[one] for one in mine] == ["3", "2", "3"]
    as_yaml = line.ok("list", "pipeline", mine[1], "-s", "-o", "yaml").out
    assert as_yaml.startswith(f"---\npipeline:\n  name: {mine[1]}\n  project:\n    name: default\n")
    assert 'datum_tries: "2"' in as_yaml
    assert "output_branch: master\n" in line.ok("inspect", "pipeline", mine[0], "--raw", "-o", "yaml").out
    line.ok("delete", "pipeline", mine[2])
    line.ok("delete", "pipeline", mine[1])
    assert line.run("create", "pipeline", stdin=as_yaml).code == 0
    again = line.run("create", "pipeline", "-f", str(tmp_path / "all.json"))
    assert again.code == 1
    assert "is refused, and what follows it was not tried" in again.err
    line.run("update", "pipeline", "-f", str(tmp_path / "all.json"))
    assert set(mine) <= set(named(line, "list", "pipeline", "--raw"))
    assert line.ok("inspect", "pipeline", mine[1], "--raw").objects[0]["version"] == "2"
    for one in mine:
        line.ok("delete", "pipeline", one)


def test_what_a_file_says_of_its_creation_goes_before_the_options(line: CommandLine, repo: str) -> None:
    name = unique("said").replace("-", "_")
    spec = {
        "pipeline": {"name": name},
        "input": {"pfs": {"repo": repo, "glob": "/*"}},
        "transform": {"image": "none:1", "cmd": ["true"]},
    }
    dry = line.ok("create", "pipeline", stdin=json.dumps({**spec, "dryRun": True}))
    assert json.loads(dry.out)["datumTries"] == "3"
    assert 'datumTries: "3"' in line.ok("create", "pipeline", "--dry-run", "-o", "yaml", stdin=json.dumps(spec)).out
    assert line.run("inspect", "pipeline", name).code == 1
    line.ok("create", "pipeline", stdin=json.dumps({**spec, "update": True}))
    line.ok("create", "pipeline", stdin=json.dumps({**spec, "update": True, "reprocess": True}))
    refused = line.run("update", "pipeline", stdin=json.dumps({**spec, "update": False}))
    assert "already exists" in refused.err
    assert line.ok("inspect", "pipeline", name, "--raw").objects[0]["version"] == "2"
    line.ok("delete", "pipeline", name)


def test_a_spec_is_edited(line: CommandLine, repo: str, tmp_path: Path) -> None:
    name = unique("edited").replace("-", "_")
    user: dict[str, Any] = {
        "pipeline": {"name": name},
        "input": {"pfs": {"repo": repo, "glob": "/*"}},
        "transform": {"image": "none:1", "cmd": ["sh"], "stdin": ["true", "false"]},
        "resourceRequests": None,
    }
    line.ok("create", "pipeline", stdin=json.dumps(user))

    def edit(change: str, *options: str) -> Any:
        (tmp_path / "editor.py").write_text(
            "import pathlib, sys\npath = pathlib.Path(sys.argv[1])\ntext = path.read_text()\n"
            f"print(path, file=sys.stderr)\npath.write_text(text.replace{change})\n"
        )
        editor = f"{sys.executable} {tmp_path / 'editor.py'}"
        return line.run("edit", "pipeline", name, "--editor", editor, *options)

    same = edit("('nothing', 'like it')")
    assert (same.code, same.err.splitlines()[1]) == (0, f"{name} is unchanged: no update")
    assert not Path(same.err.splitlines()[0]).exists()
    renamed = edit(f"('{name}', 'other')")
    assert (renamed.code, renamed.err.splitlines()[-1]) == (1, "datamill: may not change pipeline name")
    moved = edit("""('"default"', '"elsewhere"')""")
    assert moved.err.splitlines()[-1] == "datamill: may not change project name"
    wrong = edit("""('"cmd"', '"comand"')""")
    kept = Path(wrong.err.splitlines()[1].rpartition(" ")[2])
    assert (wrong.code, "comand" in kept.read_text()) == (2, True)
    assert f'{kept}:16: unexpected field "comand" in transform; did you mean "cmd"?' in wrong.err
    kept.unlink()
    assert line.ok("inspect", "pipeline", name, "--raw").objects[0]["version"] == "1"
    done = edit("('- none:1', '').replace('image: none:1', 'image: none:2')", "-o", "yaml")
    assert done.code == 0, done
    info = line.ok("inspect", "pipeline", name, "--raw").objects[0]
    assert (info["version"], info["details"]["transform"]["image"]) == ("2", "none:2")
    assert json.loads(info["user_spec_json"])["resourceRequests"] is None
    missing = line.run("edit", "pipeline", name, "--editor", "no-such-editor")
    assert (missing.code, "cannot start the editor no-such-editor" in missing.err) == (1, True)
    line.ok("delete", "pipeline", name)


def test_all_that_the_server_finds_wrong_is_told_line_by_line(line: CommandLine, repo: str) -> None:
    name = unique("wrong").replace("-", "_")
    spec = {
        "pipeline": {"name": name},
        "input": {"pfs": {"repo": repo, "glob": ""}},
        "transform": {"image": "none:1", "cmd": ["true"]},
        "reprocessSpec": "sometimes",
        "service": {"type": "Foo"},
    }
    refused = line.run("create", "pipeline", stdin=json.dumps(spec))
    assert refused.code == 1
    assert sorted(refused.err.splitlines()) == [
        f"datamill: {name}: ReprocessSpec must be one of 'until_success' or 'every_job'",
        f"datamill: {name}: input must specify a glob",
        f"datamill: {name}: the following service type Foo is not allowed",
    ]
