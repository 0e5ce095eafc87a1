"""Triggers, searches and checks on the command line, and at last the end of everything."""

from tests.support.command_line import CommandLine


def commit(line: CommandLine, where: str) -> str:
    id = line.ok("start", "commit", where).out.strip()
    line.ok("finish", "commit", where)
    line.ok("wait", "commit", where)
    return id


def test_a_branch_that_follows_another(line: CommandLine, repo: str) -> None:
    line.ok("create", "branch", f"{repo}@staging")
    line.ok("create", "branch", f"{repo}@master", "--trigger", "staging", "--trigger-commits", "2")
    assert "staging: 2 commits" in line.ok("inspect", "branch", f"{repo}@master").out
    ids = [commit(line, f"{repo}@staging") for _ in range(2)]
    assert ids[1] in line.ok("inspect", "branch", f"{repo}@master").out
    refused = line.run("create", "branch", f"{repo}@x", "--trigger-size", "1K")
    assert (refused.code, "--trigger BRANCH" in refused.err) == (2, True)
    refused = line.run("create", "branch", f"{repo}@x", "-t", "staging", "--trigger-cron", "often")
    assert (refused.code, "invalid trigger cron spec" in refused.err) == (1, True)
    assert line.run("delete", "branch", f"{repo}@staging").code == 1
    assert line.ok("fsck").out == ""


def test_commits_are_found_and_dropped(line: CommandLine, repo: str) -> None:
    first, second = commit(line, f"{repo}@master"), commit(line, f"{repo}@master")
    assert line.ok("find", "commit", f"{repo}@master:/nothing").out.split() == ["COMMIT"]
    line.ok("drop", "commit", f"{repo}@{second}")
    assert first in line.ok("inspect", "branch", f"{repo}@master").out


def test_everything_can_be_deleted(line: CommandLine, repo: str) -> None:
    kept = line.run("delete", "all")
    assert kept.code != 0
    assert repo in line.ok("list", "repo").out
    assert "repos with all their history" in line.ok("delete", "all", "-y").out
    assert repo not in line.ok("list", "repo", "-A").out
    assert line.ok("list", "project").out.split("\n")[1].startswith("default")
