"""Where a stream of writes lands: in an open commit, or in one that is made for it (one-shot).

A one-shot's data is stored before its commit is made, so that many of them on one branch only queue for the last,
short transaction; each becomes a commit of its own on top of the one before.
Elsewhere: the stream itself (upload.py); starting and finishing commits (refs/commits.py).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from services.kit.sortedmap.rows import EMPTY, Root
from services.kit.time.clock import Now
from services.pfs.domain.commits import Branch, Commit, CommitNumber
from services.pfs.domain.errors import BranchNotFound, CommitFinished, PickFailed
from services.pfs.domain.files.file_errors import BadEntry
from services.pfs.domain.keys import BranchKey, CommitRef
from services.pfs.domain.names import check_branch_name, is_id
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import find_repo, head_of, resolve_commit
from services.pfs.operations.finishing.ahead import Ahead, concluded, left_of
from services.pfs.operations.finishing.finish import Work, work_on
from services.pfs.operations.refs.commits import branch_to_write, check_clearable, start_on, writes_derive
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.collection.graves import bury_layers
from services.pfs.storage.collection.sessions import SessionStore
from services.pfs.storage.commits import CommitStore
from services.pfs.storage.content.content_tables import CONTENT, INDEX, LayerRow
from services.pfs.storage.content.layers import Part, Spilled, encode_parts
from services.pfs.storage.content.trees import root_of
from services.pfs.storage.tables import table

_ADD_LAYER = insert(table(LayerRow))


@dataclass(frozen=True)
class Target:
    """Where writes go: an open commit, or else a branch. seen: what recursive deletes are held against."""

    commit: Commit | None
    branch: BranchKey | None
    seen: CommitRef | None
    base: Root | None = None
    """What a commit on the branch would build on now; None when that is not FINISHED, or not known."""

    def foreseen(self, parts: list[Part]) -> Work | None:
        """What finishing a one-shot commit of these writes would take; None when it is not to be done at once."""
        if self.branch is None or self.base is None:
            return None
        work = Work(CommitNumber(0), "", self.base, tuple(_layers(parts)), failed=False)
        return work if work.small else None


@dataclass(frozen=True)
class Landing:
    """What a stream has stored, to be made to count."""

    parts: list[Part]
    packs: list[tuple[bytes, int]]
    session: str
    """Of the process that has written them."""
    named: Collection[bytes] = ()
    """Content packs that the caller referred to by name."""
    index_packs: Sequence[tuple[bytes, int]] = ()
    """Packs that hold those of the parts that are trees, with their sizes."""


def find_target(tx: Session, ref: CommitRef) -> Target:
    """Raises RepoNotFound, PickFailed, CommitFinished, OutputBranch, BadName."""
    key = _branch_of(ref)
    branch = None if key is None else BranchStore(tx).find(key)
    try:
        commit = resolve_commit(tx, ref) if branch is None else head_of(tx, branch)
    except PickFailed:
        if key is None:
            raise
        find_repo(tx, ref.repo)
        check_branch_name(key.name)
        return Target(None, key, None, EMPTY)
    exact = CommitRef(commit.repo, commit.id)
    if commit.finishing is None:
        return Target(commit, None, exact)
    if key is None:
        raise CommitFinished(commit)
    _check_input(tx, key, branch)
    ready = commit.finished is not None and not commit.error
    return Target(None, key, exact, root_of(commit.root, commit.size_bytes) if ready else None)


def land(
    tx: Session, target: Target, landing: Landing, *, id: str, now: Now, ahead: Ahead | None = None
) -> Work | None:
    """Make a stream's writes count. id: of the commit, when one has to be made; then its finishing is returned, if it
    can begin and was not done ahead. Raises CommitFinished, OutputBranch, BadName."""
    if target.commit is not None:
        record_packs(tx, landing, now())
        add_layer(tx, target.commit, landing.parts)
        return None
    assert target.branch is not None
    with Change(tx, id=id, now=now) as change:  # before anything is read: what is seen then stays so
        record_packs(tx, landing, change.now)
        branch, derived = branch_to_write(change, target.branch)
        head = None if branch is None else head_of(tx, branch)
        if head is not None and head.finishing is None:
            _add_layer(tx, head, landing.parts)  # somebody opened a commit there since the stream began
            return None
        commit = start_on(change, branch or target.branch, head, closed=True, derived=derived)
        _add_layer(tx, commit, landing.parts)
        work = work_on(tx, commit, _layers(landing.parts), base=head)
        done = concluded(change, work, ahead)
    return left_of(tx, work, done, now)


def add_layer(tx: Session, commit: Commit, parts: list[Part]) -> None:
    """Append writes to an open commit. Raises CommitFinished."""
    now = CommitStore(tx).get(commit.number)
    if now is None or now.finishing is not None:
        raise CommitFinished(commit)
    _add_layer(tx, commit, parts)


def _layers(parts: list[Part]) -> list[bytes]:
    return [encode_parts(parts)] if parts else []


def _add_layer(tx: Session, commit: Commit, parts: list[Part]) -> None:
    if parts:
        tx.execute(_ADD_LAYER, {"commit": commit.number, "parts": encode_parts(parts)})


def clear_commit(change: Change, ref: CommitRef) -> None:
    """Remove an open commit's own writes. Raises PickFailed, CommitNotClearable."""
    commit = check_clearable(change, ref)
    bury_layers(change.tx, LayerRow.commit == commit.number)
    change.tx.execute(delete(LayerRow).where(LayerRow.commit == commit.number))


def record_packs(tx: Session, landing: Landing, now: datetime) -> None:
    """Let the packs of a stream count. Raises SessionLost, BadEntry."""
    sessions = SessionStore(tx)
    sessions.publish(CONTENT, landing.packs, landing.session, now)
    spilled = [(part.name, part.stored) for part in landing.parts if isinstance(part, Spilled)]
    sessions.publish(INDEX, [*spilled, *landing.index_packs], landing.session, now)
    if not landing.packs:  # else the packs have shown that the session lives
        sessions.check(landing.session)
    if landing.named and not sessions.use(landing.named):
        raise BadEntry("a pack that was named is not sealed, or was given up meanwhile")


def _branch_of(ref: CommitRef) -> BranchKey | None:
    """The branch that a reference plainly names, or None when it says an id or steps."""
    text = ref.text
    if not text or is_id(text.lower()) or any(mark in text for mark in "^~."):
        return None
    return BranchKey(ref.repo, text)


def _check_input(tx: Session, key: BranchKey, branch: Branch | None) -> None:
    if branch is None:
        raise BranchNotFound(key)
    writes_derive(tx, branch)
