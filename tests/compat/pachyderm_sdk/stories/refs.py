"""Projects, repos, branches and commits, named and changed as users of the SDK do."""

import threading
from typing import Any

from given import refusal, unique
from pachyderm_sdk import Client
from pachyderm_sdk.api import metadata, pfs


def test_projects(client: Client) -> None:
    project = pfs.Project(name=unique("project"))
    assert not client.pfs.project_exists(project)
    client.pfs.create_project(project=project, description="one")
    assert client.pfs.project_exists(project)
    client.pfs.create_project(project=project, description="two", update=True)
    assert client.pfs.inspect_project(project=project).description == "two"
    assert project.name in [info.project.name for info in client.pfs.list_project()]
    assert refusal(lambda: client.pfs.create_project(project=project))[0] == "ALREADY_EXISTS"
    inside = pfs.Repo.from_uri(f"{project.name}/inside")
    client.pfs.create_repo(repo=inside)
    assert client.pfs.inspect_repo(repo=inside).repo.as_uri() == f"{project.name}/inside"
    assert [info.repo.name for info in client.pfs.list_repo(projects=[project])] == ["inside"]
    assert refusal(lambda: client.pfs.delete_project(project=project))[1]
    client.pfs.delete_repo(repo=inside)
    client.pfs.delete_project(project=project)
    assert not client.pfs.project_exists(project)


def test_repos(client: Client, repo: pfs.Repo) -> None:
    assert client.pfs.repo_exists(repo)
    info = client.pfs.inspect_repo(repo=repo)
    assert (info.repo, info.description) == (repo, "a story's own")
    assert info.created.tzinfo is not None
    client.pfs.create_repo(repo=repo, description="another", update=True)
    assert client.pfs.inspect_repo(repo=repo).description == "another"
    assert repo in [info.repo for info in client.pfs.list_repo(type="user")]
    assert repo in [info.repo for info in client.pfs.list_repo()]
    code, sentence = refusal(lambda: client.pfs.create_repo(repo=repo))
    assert (code, sentence) == ("ALREADY_EXISTS", f"repo {repo.as_uri()} already exists")
    client.pfs.delete_repo(repo=repo)
    assert not client.pfs.repo_exists(repo)
    assert refusal(lambda: client.pfs.inspect_repo(repo=repo)) == ("NOT_FOUND", f"repo {repo.as_uri()} not found")


def test_names_that_the_sdk_does_not_check(client: Client) -> None:
    for name in ("", "has space", "a/b", "ä"):
        code, sentence = refusal(lambda name=name: client.pfs.create_repo(repo=pfs.Repo(name=name)))
        assert code not in ("INTERNAL", "OK"), (name, code)
        assert sentence


def test_branches(client: Client, repo: pfs.Repo, branch: pfs.Branch) -> None:
    assert not client.pfs.branch_exists(branch)
    client.pfs.create_branch(branch=branch)
    assert client.pfs.branch_exists(branch)
    assert client.pfs.inspect_branch(branch=branch).branch == branch
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes("/a", b"a")
    commit.wait()
    copy = pfs.Branch(repo=repo, name="copy")
    client.pfs.create_branch(branch=copy, head=pfs.Commit(branch=branch, repo=repo))
    assert client.pfs.inspect_branch(branch=copy).head.id == commit.id
    assert {info.branch.name for info in client.pfs.list_branch(repo=repo)} == {"master", "copy"}
    client.pfs.delete_branch(branch=copy)
    assert not client.pfs.branch_exists(copy)
    code, sentence = refusal(lambda: client.pfs.inspect_branch(branch=copy))
    assert code == "NOT_FOUND"
    assert sentence.startswith(f'branch "copy" not found in repo {repo.as_uri()}')


def test_a_branch_follows_another(client: Client, repo: pfs.Repo, branch: pfs.Branch) -> None:
    below = pfs.Repo.from_uri(unique("below"))
    client.pfs.create_repo(repo=below)
    client.pfs.create_branch(branch=branch)
    output = pfs.Branch(repo=below, name="master")
    client.pfs.create_branch(branch=output, provenance=[branch])
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes("/a", b"a")
    commit.wait()
    followed = client.pfs.inspect_commit(commit=pfs.Commit(repo=below, id=commit.id))
    assert [found.repo.name for found in followed.direct_provenance] == [repo.name]
    subvenance = client.pfs.inspect_commit(commit=commit).direct_subvenance
    assert [found.repo.name for found in subvenance] == [below.name]
    assert client.pfs.inspect_branch(branch=branch).subvenance == [output]
    assert client.pfs.inspect_branch(branch=output).direct_provenance == [branch]
    walked = client.pfs.walk_commit_subvenance(start=[pfs.Commit(repo=repo, id=commit.id).as_picker()])
    assert below.name in [info.commit.repo.name for info in walked]
    walked = client.pfs.walk_commit_provenance(start=[pfs.Commit(repo=below, id=commit.id).as_picker()])
    assert repo.name in [info.commit.repo.name for info in walked]
    assert [info.branch.repo.name for info in client.pfs.walk_branch_subvenance(start=[branch.as_picker()])]
    assert refusal(lambda: client.pfs.start_commit(branch=output))[1].startswith(
        "cannot start a commit on an output branch"
    )
    infos = client.pfs.inspect_commit_set(commit_set=pfs.CommitSet(id=commit.id))
    assert {info.commit.repo.name for info in infos} >= {repo.name, below.name}


def test_a_commit_is_open_then_finished(client: Client, branch: pfs.Branch) -> None:
    with client.pfs.commit(branch=branch, description="first") as commit:
        assert client.pfs.commit_exists(commit)
        assert client.pfs.inspect_commit(commit=commit).finished.year == 1970  # the SDK's "not yet"
        commit.put_file_from_bytes("/a", b"a")
    info = commit.wait()
    assert info.description == "first"
    assert info.commit.id == commit.id
    assert info.commit.branch is None or info.commit.branch.name == ""
    assert info.finished >= info.started
    assert info.details.size_bytes == 1
    assert client.pfs.wait_commit(commit).commit.id == commit.id
    assert [found.commit.id for found in commit.wait_all()] == [commit.id]
    code, sentence = refusal(lambda: client.pfs.put_file_from_bytes(commit=commit, path="/b", data=b"b"))
    assert "has already finished" in sentence, (code, sentence)
    assert "has already finished" in refusal(lambda: client.pfs.finish_commit(commit=commit))[1]
    nowhere = pfs.Commit(repo=branch.repo, id="0123456789ab4def0123456789abcdef")
    assert not client.pfs.commit_exists(nowhere)


def test_an_exception_still_finishes_the_commit(client: Client, branch: pfs.Branch) -> None:
    try:
        with client.pfs.commit(branch=branch) as commit:
            commit.put_file_from_bytes("/a", b"a")
            raise KeyError("mine")
    except KeyError:
        info = commit.wait()
    assert info.details.size_bytes == 1
    assert info.error == ""


def test_ancestry_in_uris(client: Client, branch: pfs.Branch) -> None:
    ids = [_commit(client, branch, text) for text in (b"1", b"2", b"3")]
    uri = branch.as_uri()
    for text, id in (("", ids[2]), ("^", ids[1]), ("^2", ids[0]), ("^^", ids[0]), (".1", ids[0]), (".3", ids[2])):
        assert client.pfs.inspect_commit(commit=pfs.Commit.from_uri(uri + text)).commit.id == id, text
    listed = client.pfs.list_commit(repo=branch.repo, to=pfs.Commit.from_uri(uri))
    assert [info.commit.id for info in listed] == list(reversed(ids))
    assert [info.commit.id for info in client.pfs.list_commit(repo=branch.repo, number=1)] == [ids[2]]
    between = client.pfs.list_commit(
        repo=branch.repo, from_=pfs.Commit(repo=branch.repo, id=ids[0]), to=pfs.Commit.from_uri(uri)
    )
    assert [info.commit.id for info in between] == [ids[2], ids[1]]


def test_squash_and_drop(client: Client, branch: pfs.Branch) -> None:
    first, second = _commit(client, branch, b"1"), _commit(client, branch, b"2")
    head = pfs.Commit(repo=branch.repo, id=second)
    old = pfs.Commit(repo=branch.repo, id=first)
    assert "use the drop operation instead" in refusal(lambda: client.pfs.squash_commit(commit=head))[1]
    assert "cannot drop a commit that has children" in refusal(lambda: client.pfs.drop_commit(commit=old))[1]
    client.pfs.squash_commit(commit=old)
    assert not client.pfs.commit_exists(old)
    third = _commit(client, branch, b"3")
    client.pfs.drop_commit(commit=pfs.Commit(repo=branch.repo, id=third))
    assert client.pfs.inspect_branch(branch=branch).head.id == second
    fourth = _commit(client, branch, b"4")
    client.pfs.squash_commit_set(commit_set=pfs.CommitSet(id=second))
    client.pfs.drop_commit_set(commit_set=pfs.CommitSet(id=fourth))
    assert refusal(lambda: list(client.pfs.inspect_commit_set(commit_set=pfs.CommitSet(id=fourth))))[0] == "NOT_FOUND"


def test_subscribe_sees_what_is_new(client: Client, branch: pfs.Branch) -> None:
    client.pfs.create_branch(branch=branch)
    seen: list[Any] = []

    def follow() -> None:
        stream = client.pfs.subscribe_commit(repo=branch.repo, branch=branch.name, state=pfs.CommitState.FINISHED)
        for info in stream:
            seen.append(info)
            if len(seen) == 3:
                return

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    ids = [_commit(client, branch, text) for text in (b"1", b"2")]
    reader.join(120)
    assert not reader.is_alive(), seen
    assert [info.commit.id for info in seen][1:] == ids  # the first is the empty head that create_branch made
    assert all(info.finished.year > 1970 for info in seen)


def test_find_commits(client: Client, branch: pfs.Branch) -> None:
    first, second = _commit(client, branch, b"1"), _commit(client, branch, b"2")
    start = pfs.Commit(repo=branch.repo, id=second)
    found = list(client.pfs.find_commits(start=start, file_path="/file", limit=0))
    assert [answer.found_commit.id for answer in found if answer.found_commit] == [second, first]
    assert found[-1].last_searched_commit.id == first


def test_metadata(client: Client, repo: pfs.Repo) -> None:
    edit = metadata.Edit(repo=repo.as_picker(), add_key=metadata.EditAddKey(key="team", value="vision"))
    client.metadata.edit_metadata(edits=[edit])
    assert client.pfs.inspect_repo(repo=repo).metadata == {"team": "vision"}
    code, sentence = refusal(lambda: client.metadata.edit_metadata(edits=[edit]))
    assert code == "FAILED_PRECONDITION"
    assert 'target key "team" already exists; use edit_key instead' in sentence


def _commit(client: Client, branch: pfs.Branch, text: bytes) -> str:
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes("/file", text)
    commit.wait()
    return str(commit.id)
