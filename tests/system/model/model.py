"""The model: repos, branches, commits and file sets of one project as dictionaries, changed as the rules say.

It knows nothing of how datamill works. A change is made on a copy (`Model.changed`), under the one id that all its
commits get; what must fail raises Refused with words of the sentence that the caller gets.
Elsewhere: files (trees.py); what is done, to the model and for real (steps.py).
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.system.model.trees import Effect, Put, Tree, after, troubles

Name = tuple[str, str]
"""A repo and a branch, or a repo and a commit's id."""


class Refused(Exception):
    """The call must fail with a sentence that holds this text."""


class Blocks(Exception):
    """The call would wait for a commit that nobody finishes."""


@dataclass
class Commit:
    """errors: what it may say is wrong; layers: its own writes; tree: once it is finished without an error."""

    name: Name
    born: int
    parent: Name | None
    user: bool
    above: list[Name] = field(default_factory=list)
    closed: bool = False
    finished: bool = False
    errors: list[str] = field(default_factory=list)
    layers: list[tuple[Effect, ...]] = field(default_factory=list)
    tree: Tree = field(default_factory=dict)


@dataclass
class Branch:
    """above: its direct provenance."""

    name: Name
    head: Name | None = None
    above: list[Name] = field(default_factory=list)


class Model:
    """All there is."""

    def __init__(self) -> None:
        self.repos: set[str] = set()
        self.branches: dict[Name, Branch] = {}
        self.commits: dict[Name, Commit] = {}
        self.file_sets: dict[str, tuple[Effect, ...]] = {}
        self._born = 0

    def changed(self, work: "Callable[[Change], None]", id: str) -> "Model":
        """A copy, changed. Raises Refused, Blocks."""
        after_all = copy.deepcopy(self)
        change = Change(after_all, id)
        work(change)
        change.close()
        after_all.settle()
        return after_all

    def repo(self, repo: str) -> None:
        if repo not in self.repos:
            raise Refused("not found")

    def commit(self, name: Name) -> Commit:
        """By id or by branch."""
        self.repo(name[0])
        branch = self.branches.get(name)
        found = self.commits.get((branch.head or name) if branch else name)
        if found is None:
            raise Refused("not found")
        return found

    def next_number(self) -> int:
        self._born += 1
        return self._born

    def children(self, name: Name) -> list[Commit]:
        return [commit for commit in self.commits.values() if commit.parent == name]

    def below(self, names: Iterable[Name]) -> set[Name]:
        """All commits made from these, at any distance, without these."""
        found = set(names)
        while more := {c.name for c in self.commits.values() if c.name not in found and found & set(c.above)}:
            found |= more
        return found - set(names)

    def branches_below(self, start: Name) -> set[Name]:
        """All branches that derive from one, at any distance; itself only when there is a cycle."""
        found: set[Name] = set()
        while more := {b.name for b in self.branches.values() if ({start} | found) & set(b.above)} - found:
            found |= more
        return found

    def base(self, commit: Commit) -> Commit | None:
        """The nearest ancestor without an error."""
        parent = commit.parent
        while parent is not None and self.commits[parent].errors:
            parent = self.commits[parent].parent
        return None if parent is None else self.commits[parent]

    def view(self, commit: Commit) -> Tree:
        """What its readers see. Raises Refused, Blocks."""
        if commit.finished and not commit.errors:
            return commit.tree
        if commit.closed and not commit.finished:
            raise Blocks
        return self._built(commit)

    def total(self, commit: Commit) -> tuple[Effect, ...]:
        """The writes that give what its readers see. Raises Refused, Blocks."""
        if commit.closed and not commit.finished:
            raise Blocks
        return self._writes(commit)

    def _built(self, commit: Commit) -> Tree:
        return after({}, self._writes(commit))

    def _writes(self, commit: Commit) -> tuple[Effect, ...]:
        if commit.finished and not commit.errors:
            return tuple(Put(key, data) for key, data in commit.tree.items())
        base = self.base(commit)
        if base is not None and not base.finished:
            raise Refused("unfinished")
        below = [] if base is None else [Put(key, data) for key, data in base.tree.items()]
        return (*below, *(effect for layer in commit.layers for effect in layer))

    def settle(self) -> None:
        """Finish what was closed and can be finished, oldest first."""
        for commit in sorted(self.commits.values(), key=lambda commit: commit.born):
            if commit.finished or not commit.closed:
                continue
            base = self.base(commit)
            if commit.errors:
                commit.finished = True
            elif base is None or base.finished:
                commit.tree, commit.finished = self._built(commit), True
                commit.errors = troubles(commit.tree)
                if commit.errors:
                    commit.tree = {}


class Change:
    """One change: commits opened downstream, and the shape of the DAG, come at its end."""

    def __init__(self, model: Model, id: str) -> None:
        self.model, self.id = model, id
        self._moved: list[Name] = []
        self._rewired: list[Name] = []
        self._derived: dict[Name, Name] = {}

    def add_commit(self, branch: Branch, parent: Name | None, *, user: bool = False, closed: bool = False) -> Commit:
        """A new head of a branch."""
        name = (branch.name[0], self.id)
        if name in self.model.commits:
            raise Refused("already has a commit in this transaction")
        made = Commit(name, self.model.next_number(), parent, user, closed=closed, finished=closed)
        self.model.commits[name] = made
        branch.head = name
        if branch.above:
            self._derive(made, branch)
        return made

    def _derive(self, commit: Commit, branch: Branch) -> None:
        """Make it from the heads of the branch's provenance, as they are now, and then as they are at the end."""
        self._derived[commit.name] = branch.name
        commit.above = [head for each in branch.above if (head := self.model.branches[each].head) is not None]

    def start(self, name: Name, parent: Name | None = None) -> Commit:
        """StartCommit."""
        self.model.repo(name[0])
        branch = self.model.branches.get(name)
        if branch is not None and branch.above:
            raise Refused("cannot start a commit on an output branch")
        older = self.model.commit(parent or name) if parent or branch else None
        if older is not None and not older.closed:
            raise Refused("has not been finished")
        branch = self.model.branches.setdefault(name, Branch(name))
        self._moved.append(name)
        return self.add_commit(branch, older.name if older else None, user=True)

    def finish(self, name: Name, error: str = "") -> None:
        """FinishCommit."""
        commit = self.model.commit(name)
        if commit.closed:
            raise Refused("has already finished")
        commit.closed = True
        if error:
            commit.errors = [error]

    def branch(self, name: Name, head: Name | None = None, above: Sequence[Name] = ()) -> None:
        """CreateBranch."""
        for repo in (name[0], *(each[0] for each in above)):
            self.model.repo(repo)
        target = self.model.commit(head) if head else None
        if any(each[0] == name[0] for each in above):
            raise Refused("cannot be in the provenance of its own branch")
        branch = self.model.branches.setdefault(name, Branch(name))
        for each in above:
            if each not in self.model.branches:
                self._empty_head(self.model.branches.setdefault(each, Branch(each)))
        rewired = set(above) != set(branch.above)
        branch.above = list(dict.fromkeys(above))
        if name in self.model.branches_below(name):
            raise Refused("cycle detected")
        if rewired:
            self._rewired.append(name)
        self._give_head(branch, target.name if target else None, renew=rewired and bool(above))

    def _give_head(self, branch: Branch, target: Name | None, *, renew: bool) -> None:
        if target is not None and target != branch.head:
            branch.head = target
            self._moved.append(branch.name)
        if branch.head is not None and not renew:
            return
        self._moved.append(branch.name)
        if not branch.above:
            self._empty_head(branch)
        elif branch.head == (branch.name[0], self.id) and not self.model.commits[branch.head].closed:
            self._derive(self.model.commits[branch.head], branch)
        else:
            self.add_commit(branch, branch.head)

    def _empty_head(self, branch: Branch) -> None:
        shared = self.model.commits.get((branch.name[0], self.id))
        if shared is not None and shared.finished and shared.parent is None:
            branch.head = shared.name
        else:
            self.add_commit(branch, None, closed=True)

    def delete_branches(self, names: Sequence[Name], *, force: bool) -> None:
        users = [b for b in self.model.branches.values() if b.name not in names and set(b.above) & set(names)]
        if users and not force:
            raise Refused("cannot be deleted because it's in the direct provenance of")
        for user in users:
            user.above = [each for each in user.above if each not in names]
        for name in names:
            del self.model.branches[name]

    def delete_repo(self, repo: str, *, force: bool) -> None:
        """A missing one is no error."""
        self.delete_branches([name for name in self.model.branches if name[0] == repo], force=force)
        self.model.repos.discard(repo)
        self._forget([name for name in self.model.commits if name[0] == repo])

    def delete_set(self, id: str, *, squash: bool) -> None:
        going = [name for name in self.model.commits if name[1] == id]
        if self.model.below(going):
            raise Refused("cannot be dropped because it has subvenant commit sets")
        self._delete(going, squash=squash)

    def delete_commit(self, name: Name, *, recursive: bool, squash: bool) -> None:
        first = self.model.commit(name).name
        below = self.model.below([first])
        if below and not recursive:
            raise Refused("with subvenance without recursive")
        self._delete([first, *below], squash=squash)

    def _delete(self, names: Sequence[Name], *, squash: bool) -> None:
        for name in names:
            children = self.model.children(name)
            if squash and not children:
                raise Refused("cannot squash a commit that has no children")
            if squash and not all(child.finished for child in children):
                raise Refused("cannot squash until child commit")
            if children and not squash:
                raise Refused("cannot drop a commit that has children")
            if squash and not self.model.commits[name].errors:
                self._check_kept(children)
        for name in sorted(names, key=lambda name: -self.model.commits[name].born):
            self._delete_one(self.model.commits[name])

    def _check_kept(self, children: Sequence[Commit]) -> None:
        while errored := [child for child in children if child.errors]:
            below = [self.model.children(child.name) for child in errored]
            if not all(below):
                raise Refused("only errored commits follow it")
            children = [child for some in below for child in some]
            if not all(child.finished for child in children):
                raise Refused("which builds on its data")

    def _delete_one(self, commit: Commit) -> None:
        for child in self.model.children(commit.name):
            child.parent = commit.parent
        for branch in [b for b in self.model.branches.values() if b.head == commit.name]:
            fresh = (commit.name[0], self.id)
            if commit.parent is not None or fresh in self.model.commits:
                branch.head = commit.parent or fresh
            else:
                self.add_commit(branch, None, closed=not branch.above)
        self._forget([commit.name])

    def _forget(self, names: Sequence[Name]) -> None:
        for name in names:
            del self.model.commits[name]
        for commit in self.model.commits.values():
            commit.above = [each for each in commit.above if each not in names]

    def close(self) -> None:
        """What comes at the end of every change."""
        self._check_shape()
        reached = {below for moved in self._moved for below in self.model.branches_below(moved)}
        while reached:
            nearest = next(b for b in sorted(reached) if not reached & set(self.model.branches[b].above))
            reached.remove(nearest)
            branch = self.model.branches[nearest]
            if branch.head != (nearest[0], self.id):
                self.add_commit(branch, branch.head)
        for name, made_on in self._derived.items():
            branch_now = self.model.branches.get(made_on)
            if branch_now is not None and branch_now.head == name and name in self.model.commits:
                self._derive(self.model.commits[name], branch_now)

    def _check_shape(self) -> None:
        edges = [(b.name, each) for b in self.model.branches.values() for each in b.above]
        for start in self._rewired:
            linked = {start}
            while more := {x for pair in edges for x in pair if linked & set(pair)} - linked:
                linked |= more
            if len({repo for repo, _ in linked}) < len(linked):
                raise Refused("cannot participate in a DAG")
