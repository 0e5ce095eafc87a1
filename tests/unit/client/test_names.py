"""The written forms of things: each is read as pachctl reads it, and a wrong one is refused with an example."""

from collections.abc import Callable

import pytest

from datamill import names
from datamill.errors import Invalid
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps

ID = "0123456789ab4def0123456789abcdef"


def repo(name: str, project: str = "default", type: str = "user") -> pfs.Repo:
    return pfs.Repo(name=name, type=type, project=pfs.Project(name=project))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("images", repo("images")),
        ("vision/images", repo("images", "vision")),
        ("images.meta", repo("images", type="meta")),
        ("vision/edges.spec", repo("edges", "vision", "spec")),
    ],
)
def test_repos(text: str, expected: pfs.Repo) -> None:
    assert names.repo(text) == expected


def test_a_project_of_its_own_goes_before_the_default() -> None:
    assert names.repo("images", "vision") == repo("images", "vision")
    assert names.repo("other/images", "vision") == repo("images", "other")
    assert names.pipeline("other/edges", "vision").project.name == "other"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("images@master", pfs.Commit(repo=repo("images"), branch=pfs.Branch(repo=repo("images"), name="master"))),
        (f"images@{ID}", pfs.Commit(repo=repo("images"), id=ID)),
        (
            f"images@master={ID}",
            pfs.Commit(repo=repo("images"), branch=pfs.Branch(repo=repo("images"), name="master"), id=ID),
        ),
        ("images@master^2", pfs.Commit(repo=repo("images"), id="master^2")),
        (f"p/images@{ID}~", pfs.Commit(repo=repo("images", "p"), id=f"{ID}~")),
        ("images@master.1", pfs.Commit(repo=repo("images"), id="master.1")),
    ],
)
def test_commits(text: str, expected: pfs.Commit) -> None:
    assert names.commit(text) == expected


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("images@master:/a/b.png", "/a/b.png"),
        ("images@master:a/b.png", "/a/b.png"),
        ("images@master:/", "/"),
        ("images@master:/odd:name@x", "/odd:name@x"),
        (f"p/images@{ID}:x", "/x"),
    ],
)
def test_files_take_everything_behind_the_first_colon(text: str, path: str) -> None:
    found = names.file(text)
    assert found.path == path
    assert found.commit == names.commit(text.partition(":")[0])


def test_a_commit_alone_is_a_file_only_where_a_path_is_implied() -> None:
    assert names.file("images@master", path="/").path == "/"
    with pytest.raises(Invalid, match="repo@branch:/path"):
        names.file("images@master")


def test_jobs() -> None:
    wanted = pps.Job(pipeline=pps.Pipeline(name="edges", project=pfs.Project(name="vision")), id=ID)
    assert names.job(f"vision/edges@{ID}") == wanted


@pytest.mark.parametrize("id", [ID, ID.upper()])
def test_an_id_has_a_four_as_its_thirteenth_digit(id: str) -> None:
    assert names.is_id(id)
    assert not names.is_id(id[:12] + "5" + id[13:])
    assert not names.is_id(id[:-1])


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (names.repo, ""),
        (names.repo, "a/b/c"),
        (names.repo, "/b"),
        (names.repo, "images@master"),
        (names.repo, "images.png"),
        (names.branch, "images"),
        (names.branch, "images@"),
        (names.branch, "images@master:/x"),
        (names.commit, "images"),
        (names.commit, "images@master:/x"),
        (names.commit, "images@master=abc"),
        (names.commit, "@master"),
        (names.pipeline, "edges@x"),
        (names.job, "edges"),
        (names.job, "edges@master"),
        (names.project, "a/b"),
        (names.project, ""),
    ],
)
def test_what_cannot_be_right_is_refused_and_named(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(text)
    assert isinstance(refused.value, ValueError)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize("text", ["images@master", f"p/images.meta@{ID}"])
def test_a_commit_is_shown_as_it_is_written(text: str) -> None:
    assert names.shown_commit(names.commit(text)) == text


@pytest.mark.parametrize("text", [f"edges@{ID}", f"p/edges@{ID}"])
def test_a_job_is_shown_as_it_is_written(text: str) -> None:
    assert names.shown_job(names.job(text)) == text


def test_messages_pass_through() -> None:
    home, commit, file = repo("x"), pfs.Commit(id=ID), pfs.File(path="/x")
    assert names.repo(home) is home
    assert names.commit(commit) is commit
    assert names.file(file) is file
