"""What a commit is and which states it goes through.

Holds for ever: STARTED → FINISHING → FINISHED, never back; a FINISHED commit's tree does not change.
Elsewhere: what a commit's tree holds (files/entries.py); which commits a change opens (operations/dag/propagate.py).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NewType

from services.pfs.domain.keys import BranchKey, CommitRef, RepoKey
from services.pfs.domain.triggers import Trigger

CommitNumber = NewType("CommitNumber", int)  # the row's number; grows with the order of creation
BranchNumber = NewType("BranchNumber", int)
RepoNumber = NewType("RepoNumber", int)


class Origin(IntEnum):
    """What made a commit; the protocol's numbers."""

    USER = 1
    AUTO = 2
    FSCK = 3


class CommitState(IntEnum):
    """How far a commit got; the protocol's numbers. READY: all that it is made from is FINISHED."""

    STARTED = 1
    READY = 2
    FINISHING = 3
    FINISHED = 4


@dataclass(frozen=True, slots=True)
class TreeRoot:
    """Where the root of a commit's tree is stored; `services.kit.sortedmap` gives the fields their meaning."""

    id: bytes
    pack: bytes
    offset: int
    stored: int
    codec: int
    rows: int


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of one repo. `id` is shared by its whole commit set; `number` is its own."""

    number: CommitNumber
    repo: RepoKey
    repo_number: RepoNumber
    id: str
    branch: str | None  # the branch it was made on; None once that is deleted
    branch_number: BranchNumber | None
    parent: CommitNumber | None
    origin: Origin
    description: str
    started: datetime
    finishing: datetime | None
    finished: datetime | None
    created_at: datetime
    updated_at: datetime
    error: str = ""
    root: TreeRoot | None = None  # None while open, and for an empty tree
    size_bytes: int = 0
    compacting: timedelta = timedelta(0)
    validating: timedelta = timedelta(0)
    metadata: dict[str, str] = field(default_factory=dict)
    created_by: str = ""
    forgotten: bool = False  # its data is gone for good, its place in the history stays

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"

    @property
    def key(self) -> str:
        """As news carry it."""
        return f"{self.repo.full}@{self.id}"

    @property
    def ref(self) -> CommitRef:
        """A reference to exactly this commit, with the branch it was made on."""
        return CommitRef(self.repo, self.id, self.branch or "")

    @property
    def state(self) -> CommitState:
        """STARTED, FINISHING or FINISHED; READY depends on other commits."""
        if self.finished is not None:
            return CommitState.FINISHED
        return CommitState.STARTED if self.finishing is None else CommitState.FINISHING


@dataclass(frozen=True, slots=True)
class CommitView:
    """A commit with its neighbours, as clients see it."""

    commit: Commit
    parent: CommitRef | None
    children: tuple[CommitRef, ...]
    provenance: tuple[CommitRef, ...]
    subvenance: tuple[CommitRef, ...]
    size_upper_bound: int = 0


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch. `head` is None only inside the transaction that makes it."""

    number: BranchNumber
    repo_number: RepoNumber
    key: BranchKey
    head: CommitNumber | None
    metadata: dict[str, str]
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class BranchView:
    """A branch with its neighbours, as clients see it; closures are ordered nearest first."""

    branch: Branch
    head: CommitRef
    direct_provenance: tuple[BranchKey, ...]
    provenance: tuple[BranchKey, ...]
    subvenance: tuple[BranchKey, ...]
    never: tuple[BranchKey, ...]
    trigger: Trigger | None = None
