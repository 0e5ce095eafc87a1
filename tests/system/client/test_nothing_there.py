"""Commands about what is not there say so and end with 1; a folder that has not changed makes no commit."""

from pathlib import Path

import pytest

from tests.support.command_line import CommandLine


def commits(line: CommandLine, repo: str) -> int:
    return len(line.ok("list", "commit", repo, "--raw").objects)


def test_a_path_that_holds_nothing_is_not_found(line: CommandLine, repo: str) -> None:
    line.ok("put", "file", f"{repo}@master:/dir/x", stdin="1")
    for words in (("list", "file"), ("list", "file", "--raw"), ("list", "file", "-r"), ("delete", "file")):
        done = line.run(*words, f"{repo}@master:/dri")
        assert (done.code, done.out) == (1, "")
        assert "file /dri not found in " in done.err
    done = line.run("copy", "file", f"{repo}@master:/dri", f"{repo}@master:/copy")
    assert (done.code, "file /dri not found in " in done.err) == (1, True)
    assert line.run("delete", "file", f"{repo}@mistyped:/dir/x").code == 1
    assert commits(line, repo) == 1
    assert len(line.ok("list", "branch", repo, "--raw").objects) == 1
    assert line.ok("list", "file", f"{repo}@master:/dir").err == ""


def test_an_empty_root_and_a_pattern_that_matches_nothing_are_no_mistakes(line: CommandLine, repo: str) -> None:
    line.ok("create", "branch", f"{repo}@master")
    for words in (("list", "file", f"{repo}@master"), ("glob", "file", f"{repo}@master:/y*")):
        done = line.run(*words)
        assert (done.code, done.err) == (0, f"nothing at {words[-1]}\n")


def test_lists_of_a_project_that_is_not_there(line: CommandLine) -> None:
    for words in ("repo", "repo --raw", "commit", "pipeline", "pipeline -s", "job", "job -x"):
        done = line.run("list", *words.split(), "--project", "nope")
        assert (done.code, done.out) == (1, "")
        assert done.err == 'datamill: project "nope" not found; `datamill list project` shows what there is\n'
    line.ok("create", "project", "empty")
    assert line.ok("list", "repo", "--project", "empty").out.startswith("REPO ")


def test_a_repo_that_is_not_there_is_not_updated(line: CommandLine, repo: str) -> None:
    done = line.run("update", "repo", "nope", "-d", "words")
    assert (done.code, "repo default/nope not found" in done.err) == (1, True)
    assert "nope" not in line.ok("list", "repo").out


@pytest.mark.parametrize("files", [2, 40])
def test_a_folder_that_has_not_changed_makes_no_commit(
    line: CommandLine, repo: str, tmp_path: Path, files: int
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(files):
        (folder / f"{number}").write_text(f"{number}")
    put = ("put", "file", f"{repo}@master:/in", "-r", "-f", str(folder))
    line.ok(*put)
    for _ in range(2):
        again = line.run(*put)
        assert (again.code, again.out, again.err) == (0, "", f"nothing changed: {repo}@master holds all of it\n")
    assert commits(line, repo) == 1
    line.ok(*put, "--allow-empty")
    assert commits(line, repo) == 2
    (folder / "1").write_text("other")
    line.ok(*put)
    assert commits(line, repo) == 3
    assert line.ok("get", "file", f"{repo}@master:/in/1").out == "other"
    line.ok("start", "commit", f"{repo}@master")
    line.ok(*put)
    line.ok("finish", "commit", f"{repo}@master")
    assert commits(line, repo) == 4
    line.ok("delete", "file", f"{repo}@master:/in/0")
    line.ok(*put)
    assert line.ok("get", "file", f"{repo}@master:/in/0").out == "0"
