"""Lists of projects, repos and branches: filters, pages, orders, sizes; deleting many at once."""

from collections.abc import Sequence

import grpc
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import unique
from tests.system.pfs.driver import Repo, head, link, put, refused

UNKNOWN, NOT_FOUND = grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND
NAMES = ["B", "a", "a-b", "a_b", "ab", "b", "b1", "b10", "b2"]  # in the order of their bytes, and of no language


def project(a: Repo, name: str, repos: Sequence[str] = ()) -> pfs.Project:
    made = pfs.Project(name=name)
    a.api.CreateProject(pfs.CreateProjectRequest(project=made))
    for each in repos:
        a.api.CreateRepo(pfs.CreateRepoRequest(repo=pfs.Repo(name=each, project=made)))
    return made


@pytest.fixture
def two(a: Repo) -> list[pfs.Project]:
    """The second comes first in the alphabet."""
    return [project(a, unique("yes"), NAMES[::-1]), project(a, unique("no"), ["one"])]


def listed(a: Repo, **wanted: object) -> list[tuple[str, str, str]]:
    found = a.api.ListRepo(pfs.ListRepoRequest(**wanted))  # type: ignore[arg-type]  # its own fields
    return [(info.repo.project.name, info.repo.name, info.repo.type) for info in found]


def test_repos_come_by_project_and_name_in_the_order_of_bytes(a: Repo, two: list[pfs.Project]) -> None:
    yes, no = two
    everything = [(no.name, "one", "user"), *((yes.name, name, "user") for name in NAMES)]
    assert listed(a, projects=two) == everything
    assert listed(a, projects=[yes]) == everything[1:]
    assert listed(a, projects=[pfs.Project(name="nobodys")]) == []
    assert set(listed(a)) > set(everything)
    pages = [listed(a, projects=two, page=pfs.RepoPage(page_size=4, page_index=at)) for at in range(4)]
    assert pages == [everything[:4], everything[4:8], everything[8:], []]
    with refused(UNKNOWN, "there is no page -1 of 4 repos"):
        listed(a, page=pfs.RepoPage(page_size=4, page_index=-1))


def test_repos_of_one_type(a: Repo, two: list[pfs.Project]) -> None:
    yes = two[0]
    for kind in ("meta", "spec"):
        a.api.CreateRepo(pfs.CreateRepoRequest(repo=pfs.Repo(name="a", type=kind, project=yes)))
    assert [kind for _, name, kind in listed(a, projects=[yes]) if name == "a"] == ["meta", "spec", "user"]
    assert listed(a, projects=[yes], type="spec") == [(yes.name, "a", "spec")]
    assert listed(a, projects=[yes], type="none") == []
    assert {kind for *_, kind in listed(a, type="user")} == {"user"}


def test_projects_come_in_the_order_in_which_they_were_made(a: Repo, two: list[pfs.Project]) -> None:
    names = [info.project.name for info in a.api.ListProject(pfs.ListProjectRequest())]
    assert names[0] == "default"
    assert names.index(two[0].name) < names.index(two[1].name)


def test_a_described_project_keeps_the_rest(a: Repo) -> None:
    made = project(a, unique("proj"))
    before = a.api.InspectProject(pfs.InspectProjectRequest(project=made))
    a.api.CreateProject(pfs.CreateProjectRequest(project=made, description="new", update=True))
    after = a.api.InspectProjectV2(pfs.InspectProjectV2Request(project=made))
    assert (after.info.description, after.info.created_at, after.defaults_json) == ("new", before.created_at, "{}")
    with refused(NOT_FOUND, "not found"):
        a.api.CreateProject(pfs.CreateProjectRequest(project=pfs.Project(name=unique("none")), update=True))
    a.api.DeleteProject(pfs.DeleteProjectRequest(project=made))
    with refused(NOT_FOUND, f'project "{made.name}" not found'):
        a.api.DeleteProject(pfs.DeleteProjectRequest(project=made))
    longest = project(a, (unique("p") + "x" * 51)[:51])
    a.api.DeleteProject(pfs.DeleteProjectRequest(project=longest))


def test_repos_of_projects_are_deleted_together(a: Repo, two: list[pfs.Project]) -> None:
    yes, no = two
    assert not a.api.DeleteRepos(pfs.DeleteReposRequest()).repos
    assert not a.api.DeleteRepos(pfs.DeleteReposRequest(projects=[pfs.Project(name="nobodys")])).repos
    gone = a.api.DeleteRepos(pfs.DeleteReposRequest(projects=[yes])).repos
    assert sorted(repo.name for repo in gone) == NAMES
    assert listed(a, projects=two) == [(no.name, "one", "user")]
    for each in two:
        a.api.DeleteRepos(pfs.DeleteReposRequest(projects=[each]))
        a.api.DeleteProject(pfs.DeleteProjectRequest(project=each))


def test_a_repo_made_anew_begins_anew(a: Repo) -> None:
    for _ in range(2):
        a.modify(put("/f", b"x"))
        a.wait()
        assert a.api.DeleteRepo(pfs.DeleteRepoRequest(repo=a.wire)).deleted
        a.api.CreateRepo(pfs.CreateRepoRequest(repo=a.wire))
        assert not list(a.api.ListCommit(pfs.ListCommitRequest(repo=a.wire)))
        assert not list(a.api.ListBranch(pfs.ListBranchRequest(repo=a.wire)))


def test_the_size_of_a_repo_is_that_of_its_master(a: Repo) -> None:
    def sizes() -> tuple[int, int]:
        one = a.api.InspectRepo(pfs.InspectRepoRequest(repo=a.wire))
        (other,) = [info for info in a.api.ListRepo(pfs.ListRepoRequest()) if info.repo.name == a.name]
        assert (one.HasField("details"), one.size_bytes_upper_bound, other.HasField("details")) == (True, 0, False)
        return one.details.size_bytes, other.size_bytes_upper_bound

    assert sizes() == (0, 0)
    a.modify(put("/f", b"12345"))
    a.wait()
    other = pfs.Commit(branch=pfs.Branch(repo=a.wire, name="other"))
    a.modify(put("/f", b"x" * 100), commit=other)
    a.wait(other)
    assert sizes() == (5, 5)
    opened = a.start()
    a.modify(put("/g", b"123"), commit=opened)
    assert sizes() == (5, 5), "while a commit is written, the one before counts"
    a.finish(opened)
    assert sizes() == (8, 8)
    a.finish(a.start(), error="no good")
    a.api.DropCommit(pfs.DropCommitRequest(commit=head(a).commit))
    a.api.DropCommit(pfs.DropCommitRequest(commit=head(a).commit))
    a.api.DropCommit(pfs.DropCommitRequest(commit=head(a).commit))
    assert sizes() == (0, 0)


def test_summaries_add_sizes_up(a: Repo, two: list[pfs.Project]) -> None:
    yes, no = two
    for each, size in ((pfs.Repo(name="a", project=yes), 7), (pfs.Repo(name="b", project=yes), 5)):
        commit = a.api.StartCommit(pfs.StartCommitRequest(branch=pfs.Branch(repo=each, name="master")))
        a.modify(put("/f", b"x" * size), commit=commit)
        a.finish(commit)
    empty = project(a, unique("empty"))
    pickers = [pfs.ProjectPicker(name=each.name) for each in (no, empty, yes)]
    found = a.api.ReposSummary(pfs.ReposSummaryRequest(projects=pickers)).summaries
    assert [(one.project.name, one.user_repo_count, one.size_bytes) for one in found] == [
        (no.name, 1, 0), (yes.name, len(NAMES), 12),
    ]  # fmt: skip


def test_branches_come_newest_first(a: Repo, b: Repo) -> None:
    def names(**wanted: object) -> list[str]:
        found = a.api.ListBranch(pfs.ListBranchRequest(**wanted))  # type: ignore[arg-type]  # its own fields
        return [f"{info.branch.repo.name}@{info.branch.name}" for info in found]

    for name in ("one", "two"):
        a.api.CreateBranch(pfs.CreateBranchRequest(branch=pfs.Branch(repo=a.wire, name=name)))
    link(b, a)  # makes a@master, too
    mine = [f"{a.name}@{name}" for name in ("master", "two", "one")]
    assert names(repo=a.wire) == mine
    assert names(repo=a.wire, reverse=True) == mine[::-1]
    for wanted in ({}, {"repo": pfs.Repo(type="user")}, {"repo": pfs.Repo(project=pfs.Project(name="default"))}):
        all_of_them = [name for name in names(**wanted) if name.split("@")[0] in (a.name, b.name)]
        assert all_of_them == [mine[0], f"{b.name}@master", *mine[1:]], "of one change the one with fewest inputs first"
        turned = [name for name in names(**wanted, reverse=True) if name.split("@")[0] in (a.name, b.name)]
        assert turned == all_of_them[::-1]
    assert not [name for name in names(repo=pfs.Repo(type="spec")) if name in mine]
    with refused(NOT_FOUND, "repo default/nobody not found"):
        names(repo=pfs.Repo(name="nobody", type="user"))
