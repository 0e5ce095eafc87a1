"""Everything that clients can see of a project, held against the model.

Elsewhere: the model (model.py); when it is looked (machine.py).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.model.model import Blocks, Commit, Model, Name, Refused
from tests.system.model.steps import CALL_SECONDS, Api
from tests.system.model.trees import Shown, Tree, children, collided, matching, walk


class SeenCommit(NamedTuple):
    parent: Name | None
    children: frozenset[Name]
    user: bool
    above: tuple[Name, ...]
    closed: bool
    finished: bool
    error: str


class SeenBranch(NamedTuple):
    head: Name | None
    above: tuple[Name, ...]
    all_above: frozenset[Name]
    all_below: frozenset[Name]


class Seen(NamedTuple):
    """A project without its files."""

    repos: frozenset[str]
    branches: dict[Name, SeenBranch]
    commits: dict[Name, SeenCommit]


def expected(model: Model) -> Seen:
    """What the model says."""
    branches = {}
    for name, branch in model.branches.items():
        above = frozenset(other for other in model.branches if name in model.branches_below(other))
        branches[name] = SeenBranch(
            branch.head, tuple(sorted(branch.above)), above, frozenset(model.branches_below(name))
        )
    commits = {name: _expected_commit(model, commit) for name, commit in model.commits.items()}
    return Seen(frozenset(model.repos), branches, commits)


def _expected_commit(model: Model, commit: Commit) -> SeenCommit:
    below = frozenset(child.name for child in model.children(commit.name))
    above, error = tuple(sorted(commit.above)), commit.errors[0] if commit.errors else ""
    return SeenCommit(commit.parent, below, commit.user, above, commit.closed, commit.finished, error)


def observed(to: Api, model: Model) -> Seen:
    """What PFS says. Errors that the model allows are told as the model's."""
    listed = to.pfs.ListRepo(pfs.ListRepoRequest(projects=[to.project], type="user"), timeout=CALL_SECONDS)
    repos = [info.repo.name for info in listed]
    branches = {}
    everywhere = pfs.ListBranchRequest(repo=pfs.Repo(project=to.project, type="user"))
    for info in to.pfs.ListBranch(everywhere, timeout=CALL_SECONDS):
        above, below = map(_branch, info.provenance), map(_branch, info.subvenance)
        direct = tuple(sorted(map(_branch, info.direct_provenance)))
        branches[_branch(info.branch)] = SeenBranch(_commit(info.head), direct, frozenset(above), frozenset(below))
    commits = {}
    for repo in repos:
        for one in to.pfs.ListCommit(pfs.ListCommitRequest(repo=to.repo(repo)), timeout=CALL_SECONDS):
            name = _commit(one.commit)
            commits[name] = _observed_commit(one, model.commits.get(name))
    return Seen(frozenset(repos), branches, commits)


def _observed_commit(info: pfs.CommitInfo, told: Commit | None) -> SeenCommit:
    error = info.error
    if told is not None and any(error.startswith(text) for text in told.errors):
        error = told.errors[0]
    return SeenCommit(
        parent=_commit(info.parent_commit) if info.HasField("parent_commit") else None,
        children=frozenset(map(_commit, info.child_commits)),
        user=info.origin.kind == pfs.OriginKind.USER,
        above=tuple(sorted(map(_commit, info.direct_provenance))),
        closed=info.HasField("finishing"),
        finished=info.HasField("finished"),
        error=error,
    )


def differences(wanted: Seen, found: Seen) -> list[str]:
    """In words; none: they are the same."""
    texts = [] if wanted.repos == found.repos else [f"repos {sorted(found.repos)}, not {sorted(wanted.repos)}"]
    for one, other in ((wanted.branches, found.branches), (wanted.commits, found.commits)):
        pairs = [(name, one.get(name), other.get(name)) for name in {*one, *other}]
        texts += [f"{name} is {there}, not {here}" for name, here, there in pairs if here != there]
    return texts


@dataclass
class Files:
    """Looks at files, and remembers which hash belongs to which bytes: equal ones have one hash, others another."""

    hashes: dict[bytes, bytes] = field(default_factory=dict)
    contents: dict[bytes, bytes] = field(default_factory=dict)

    def check(self, to: Api, model: Model, commit: Commit) -> None:
        """Hold everything in a commit against the model. Raises AssertionError."""
        tree = self._readable(to, model, commit)
        if tree is None:
            return
        found: list[Shown] = []
        for info in to.pfs.WalkFile(pfs.WalkFileRequest(file=_file(to, commit, "/")), timeout=CALL_SECONDS):
            found.append((info.file.path, info.file.datum, info.size_bytes))
            if info.file_type == pfs.FILE and (info.file.path, info.file.datum) in tree:
                self._content(to, commit, info, tree[info.file.path, info.file.datum])
        found = [one for one in found if one[0] != "/"]
        assert found == walk(tree), f"walk of {commit.name}: {found}, not {walk(tree)}"

    def list(self, to: Api, model: Model, commit: Commit, folder: str, pattern: str) -> None:
        """Hold a listing and a glob against the model."""
        tree = self._readable(to, model, commit)
        if tree is None:
            return
        listed = to.pfs.ListFile(pfs.ListFileRequest(file=_file(to, commit, folder)), timeout=CALL_SECONDS)
        shown = _shown(listed)
        assert shown == children(tree, folder), f"{folder} of {commit.name}: {shown}, not {children(tree, folder)}"
        globbed = to.pfs.GlobFile(pfs.GlobFileRequest(commit=to.commit(commit.name), pattern=pattern))
        shown = _shown(globbed)
        assert shown == matching(tree, pattern), f"{pattern} of {commit.name}: {shown}, not {matching(tree, pattern)}"

    def compare(self, to: Api, model: Model, new: Commit, old: Commit) -> None:
        """Hold the difference of two commits against the model."""
        trees = [self._readable(to, model, commit) for commit in (new, old)]
        if trees[0] is None or trees[1] is None:
            return
        request = pfs.DiffFileRequest(new_file=_file(to, new, "/"), old_file=_file(to, old, "/"))
        found: tuple[set[str], set[str]] = (set(), set())
        for pair in to.pfs.DiffFile(request, timeout=CALL_SECONDS):
            for info, paths in ((pair.new_file, found[0]), (pair.old_file, found[1])):
                if info.file_type == pfs.FILE:
                    paths.add(info.file.path)
        wanted = _changed(trees[0], trees[1])
        assert found == wanted, f"differences of {new.name} and {old.name}: {found}, not {wanted}"

    def _readable(self, to: Api, model: Model, commit: Commit) -> Tree | None:
        """What is to be seen; None when nothing can be read, which is checked."""
        try:
            tree = model.view(commit)
        except Blocks:
            return None
        except Refused as why:
            self._refused(to, commit, str(why))
            return None
        if collided(tree):
            self._refused(to, commit, "collision")
            return None
        return tree

    def _refused(self, to: Api, commit: Commit, why: str) -> None:
        request = pfs.WalkFileRequest(file=_file(to, commit, "/"))
        text = refusal(lambda: list(to.pfs.WalkFile(request, timeout=CALL_SECONDS)))
        assert why in text, f"walk of {commit.name}: {text!r}, not {why!r}"

    def _content(self, to: Api, commit: Commit, info: pfs.FileInfo, data: bytes) -> None:
        digest = self.hashes.get(data)
        if digest is None:
            request = pfs.GetFileRequest(file=_file(to, commit, info.file.path, info.file.datum))
            found = b"".join(message.value for message in to.pfs.GetFile(request, timeout=CALL_SECONDS))
            assert found == data, f"{info.file.path} of {commit.name}: {found[:40]!r}, not {data[:40]!r}"
            assert self.contents.setdefault(info.hash, data) == data, f"the hash of {info.file.path} is not its own"
            digest = self.hashes[data] = info.hash
        assert info.hash == digest, f"hash of {info.file.path} in {commit.name}"


def _changed(new: Tree, old: Tree) -> tuple[set[str], set[str]]:
    """The paths that a difference names on each side. Another datum tag alone is no difference."""
    firsts: list[dict[str, bytes]] = [{}, {}]
    for key in sorted({*new, *old}):
        if new.get(key) != old.get(key):
            for tree, first in zip((new, old), firsts, strict=True):
                if key in tree:
                    first.setdefault(key[0], tree[key])
    same = {path for path in firsts[0] if firsts[0][path] == firsts[1].get(path)}
    return set(firsts[0]) - same, set(firsts[1]) - same


def refusal(call: Callable[[], object]) -> str:
    """The sentence with which a call is refused; "" when it is not."""
    try:
        call()
    except grpc.RpcError as error:
        return error.details() or "refused"
    return ""


def _shown(infos: Iterable[pfs.FileInfo]) -> list[Shown]:
    return [(info.file.path, info.file.datum, info.size_bytes) for info in infos if info.file.path != "/"]


def _file(to: Api, commit: Commit, path: str, datum: str = "") -> pfs.File:
    return pfs.File(commit=to.commit(commit.name), path=path, datum=datum)


def _branch(branch: pfs.Branch) -> Name:
    return branch.repo.name, branch.name


def _commit(commit: pfs.Commit) -> Name:
    return commit.repo.name, commit.id
