"""One change: everything that a transaction does to commits and branches, under one commit set id.

Operations take a Change and do their own part; `close` does what belongs to the end of every transaction, once: it
checks the shape of the DAG, opens commits downstream, says what they are made from, and leaves the news in the outbox.

    with Change(tx, id=fresh_id(), now=clock.now) as change:
        start_commit(change, …)

Changes follow one another, and each reads the clock when its turn has come: what comes later has a later time.

Elsewhere: which commits are opened downstream (propagate.py).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from services.kit.storage.outbox import Outbox
from services.kit.time.clock import Now
from services.pfs.domain.commits import Branch, BranchNumber, Commit, CommitNumber, Origin, RepoNumber
from services.pfs.domain.errors import HeadForgotten, RepoChangedTwice
from services.pfs.domain.keys import RepoKey
from services.pfs.operations.dag.propagate import check_shape, downstream_of, provenance_of
from services.pfs.storage.branches import BranchStore, one_at_a_time
from services.pfs.storage.commits import CommitStore

P = ParamSpec("P")
T = TypeVar("T")
TICK = timedelta(microseconds=1)  # what databases tell apart


class Change:
    """A unit of work inside a database transaction. id: of every commit that it makes; none has it yet."""

    def __init__(self, tx: Session, *, id: str, now: Now) -> None:
        one_at_a_time(tx)
        self.tx, self.id, self.now = tx, id, now()
        self.commits, self.branches = CommitStore(tx), BranchStore(tx)
        self._has_commit = set[RepoNumber]()
        self._moved: dict[BranchNumber, None] = {}
        self._rewired: dict[BranchNumber, None] = {}
        self._heads_for: str | None = None
        self._derived: dict[CommitNumber, BranchNumber] = {}
        self._news: dict[tuple[str, str], Mapping[str, str]] = {}

    def __enter__(self) -> "Change":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

    def not_before(self, moment: datetime) -> None:
        """Happen at `moment` at the earliest, whatever a clock says that was set back."""
        self.now = max(self.now, moment)

    def add_commit(
        self,
        branch: Branch,
        *,
        origin: Origin,
        parent: Commit | None,
        description: str = "",
        finishing: bool = False,
        finished: bool = False,
        derived: bool = False,
    ) -> Commit:
        """Make a commit, the head of its branch. finishing: closed for writing at once. finished: empty, too.
        derived: made from the heads that the branch's provenance has when the change closes.
        Raises RepoChangedTwice."""
        repo = branch.repo_number
        if repo in self._has_commit and (twin := self.commits.find(repo, self.id)) is not None:
            raise RepoChangedTwice(twin, repo, parent or twin.repo)
        self._has_commit.add(repo)
        if parent is not None:
            self.not_before(parent.started + TICK)
        commit = self.commits.add(
            id=self.id,
            branch=branch,
            parent=None if parent is None else parent.number,
            origin=origin,
            description=description,
            now=self.now,
            finishing=self.now if finishing or finished else None,
            finished=self.now if finished else None,
        )
        self.branches.set_head(branch.number, commit.number, self.now)
        if derived:
            self.derive(commit.number, branch.number)
        self.say_commit("pfs.commit.finished" if finished else "pfs.commit.started", commit)
        if finishing:
            self.say_commit("pfs.commit.finishing", commit)
        return commit

    def derive(self, commit: CommitNumber, branch: BranchNumber) -> None:
        """Let `commit` be made from the heads of the branch's provenance, as they are when the change closes."""
        self._derived[commit] = branch
        self.commits.set_provenance(commit, provenance_of(self.branches, branch))

    def propagate(self, branch: BranchNumber) -> None:
        """The head of `branch` is new: open commits downstream when the change closes."""
        self._moved[branch] = None

    def check_dag(self, branch: BranchNumber) -> None:
        """The edges of `branch` are new: look at the shape of its DAG when the change closes."""
        self._rewired[branch] = None

    def check_heads(self, prefix: str = "") -> None:
        """A branch may have come to point at an older commit: see when the change closes that its data is there.

        prefix: of the sentence when it is not.
        """
        self._heads_for = prefix

    def say_commit(self, what: str, commit: Commit) -> None:
        """Tell that something happened to a commit; `what` is the subject."""
        self._news[what, commit.key] = {
            **_repo_facts(commit.repo),
            "id": commit.id,
            "branch": commit.branch or "",
            "origin": commit.origin.name,
            "error": commit.error,
        }

    def say_no_more(self, what: str, key: str) -> None:
        """Take back what was to be told: nobody would see it so."""
        self._news.pop((what, key), None)

    def say_clock(self, branch: Branch) -> None:
        """Tell that a branch follows the clock from now on, or by another schedule."""
        self._news["pfs.branch.scheduled", branch.key.full] = {
            **_repo_facts(branch.key.repo),
            "branch": branch.key.name,
        }

    def say_repo_deleted(self, repo: RepoKey) -> None:
        """Tell that a repo is gone, with all its commits."""
        self._news["pfs.repo.deleted", repo.full] = _repo_facts(repo)

    def close(self) -> None:
        """Do what belongs to the end of a transaction. Raises TwoBranchesInDag, HeadForgotten."""
        if self._heads_for is not None and self.commits.forgotten_heads():
            raise HeadForgotten(self._heads_for)
        for number in self._rewired:
            check_shape(self.branches, number)
        self._open_downstream()
        for commit, number in self._derived.items():
            # An earlier commit of this change may have been moved past by a later one, and then keeps what it had.
            if (now := self.branches.get(number)) is not None and now.head == commit:
                self.commits.set_provenance(commit, provenance_of(self.branches, number))
        Outbox(self.tx).add_all([(subject, key, facts) for (subject, key), facts in self._news.items()], at=self.now)

    def _open_downstream(self) -> None:
        """Commits of what derives from moved branches, made from the heads that these then have."""
        found = downstream_of(self.branches, self._moved)
        heads = self.commits.many(branch.head for branch, _ in found if branch.head is not None)
        opened: dict[BranchNumber, CommitNumber] = {}
        made: dict[CommitNumber, list[CommitNumber]] = {}
        for branch, above in found:
            if branch.head is not None and heads[branch.head].id == self.id:
                continue
            older = None if branch.head is None else heads[branch.head]
            commit = self.add_commit(branch, origin=Origin.AUTO, parent=older)
            causes = [opened.get(each.number, each.head) for each in above]
            opened[branch.number] = commit.number
            made[commit.number] = [cause for cause in causes if cause is not None]
        self.commits.add_provenance(made)


def changed(
    tx: Session, work: Callable[Concatenate[Change, P], T], id: str, now: Now, /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run one operation as a change of its own: `db.run(changed, start_commit, fresh_id(), clock.now, …)`."""
    with Change(tx, id=id, now=now) as change:
        return work(change, *args, **kwargs)


def _repo_facts(repo: RepoKey) -> dict[str, str]:
    return {"project": repo.project, "repo": repo.name, "type": repo.type}
