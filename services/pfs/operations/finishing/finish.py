"""Finishing a commit: its layers are carried out on the nearest good ancestor's tree, the result is checked, and the
commit is FINISHED, with an error when the tree holds what it may not.

Every step can be repeated: a finish that is cut off leaves index packs that nobody refers to, and starts anew.
Elsewhere: who finishes what, and when (duties/finisher.py); merging (merge.py); what a tree may not hold
(domain/files/collisions.py).
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from services.kit.sortedmap.rows import EMPTY, Root
from services.kit.storage.leases import drop_lease, take_lease
from services.kit.time.clock import Now, fresh_id
from services.pfs.domain.commits import Commit, CommitNumber
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import base_of
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import layers_of
from services.pfs.operations.finishing.merge import first_trouble
from services.pfs.operations.finishing.taking_over import carry_out_parts
from services.pfs.operations.refs.commits import finish_commit, mark_finished
from services.pfs.operations.triggers.firing import fire_triggers
from services.pfs.storage.branches import one_at_a_time
from services.pfs.storage.collection.sessions import SessionStore
from services.pfs.storage.commits import CommitStore
from services.pfs.storage.content.content_tables import INDEX
from services.pfs.storage.content.layers import Inline, decode_parts
from services.pfs.storage.content.trees import root_of, tree_root

SMALL_PARTS = 8
MOST_AT_A_LOOK = 100  # commits: more are found at the next look, when some of these are done


@dataclass(frozen=True)
class Work:
    """What finishing one commit needs to know."""

    number: CommitNumber
    key: str
    base: Root
    layers: tuple[bytes, ...]
    failed: bool
    """Whether FinishCommit was given an error: then its tree is nobody's."""

    @property
    def small(self) -> bool:
        """Whether it is done before a lease is taken. Finishing twice is harmless, and only one result is published."""
        parts = [part for data in self.layers for part in decode_parts(data)]
        return len(parts) <= SMALL_PARTS and all(isinstance(part, Inline) for part in parts)


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    root: Root = EMPTY
    size_bytes: int = 0
    error: str = ""
    packs: tuple[tuple[bytes, int], ...] = ()
    session: str = ""
    compacting: timedelta = timedelta(0)
    validating: timedelta = timedelta(0)


def ready_work(tx: Session, busy: Collection[CommitNumber]) -> tuple[list[Work], bool]:
    """The commits that can be finished now, oldest first, and whether others wait for their base.

    busy: commits to leave out.
    """
    found: list[Work] = []
    closed, waiting = CommitStore(tx).closed_on_finished(MOST_AT_A_LOOK)
    for commit in closed:
        if commit.number in busy:
            continue
        work = work_on(tx, commit)
        if work is None:
            waiting = True
        else:
            found.append(work)
    return found, waiting


def close_and_see(
    change: Change, ref: CommitRef, *, description: str = "", error: str = "", force: bool = False
) -> Work | None:
    """Close a commit for writing. Returns what finishing it takes, unless its base is not FINISHED yet.

    Raises what `finish_commit` raises.
    """
    return work_on(change.tx, finish_commit(change, ref, description=description, error=error, force=force))


def work_on(
    tx: Session, commit: Commit, layers: Sequence[bytes] | None = None, *, base: Commit | None = None
) -> Work | None:
    """What finishing a closed commit takes; None: its base has to be waited for.

    layers: its own, as far as the caller knows them. base: its parent, if the caller knows it.
    """
    if commit.error:
        return Work(commit.number, commit.key, EMPTY, (), failed=True)  # nobody builds on it: it waits for nothing
    if base is None or base.error:
        base = base_of(tx, commit)
    if base is not None and base.finished is None:
        return None
    root = EMPTY if base is None else root_of(base.root, base.size_bytes)
    if layers is None:
        layers = [data for _, data in layers_of(tx, commit)]
    return Work(commit.number, commit.key, root, tuple(layers), failed=False)


def claim(tx: Session, number: CommitNumber, holder: str, *, ttl: timedelta, now: datetime) -> bool:
    """Take or renew the lease on finishing a commit. False: somebody else is at it."""
    return take_lease(tx, duty(number), holder, ttl=ttl, now=now)


def duty(number: CommitNumber) -> str:
    """The name of the lease under which a commit is finished."""
    return f"finish/{number}"


def finish(stores: Stores, work: Work) -> Outcome:
    """Build and check the tree. Blocks; runs on a thread. Raises Exhausted, Corrupt."""
    if work.failed:
        return Outcome()
    if not work.layers:
        return Outcome(work.base, work.base.size_bytes, session=stores.session)
    began = time.monotonic()
    parts = [part for data in work.layers for part in decode_parts(data)]
    trees, sink = stores.trees, stores.trees.sink()
    root, put = carry_out_parts(stores, trees.reader, trees.content, work.base, parts, sink)
    merged = time.monotonic()
    trouble = first_trouble(trees.reader, root, put)
    return Outcome(
        root=root,
        size_bytes=root.size_bytes,
        error="" if trouble is None else trouble.text,
        packs=tuple(zip(sink.packs, sink.sizes, strict=True)),
        session=stores.session,
        compacting=timedelta(seconds=merged - began),
        validating=timedelta(seconds=time.monotonic() - merged),
    )


def publish(tx: Session, number: CommitNumber, outcome: Outcome, holder: str | None, *, id: str, now: Now) -> None:
    """Make a commit FINISHED. Nothing happens when it is gone or FINISHED already.

    holder: of the lease, when one was taken.
    """
    one_at_a_time(tx)  # before anything is read: a snapshot from before the wait would be refused after it
    if holder is not None:
        drop_lease(tx, duty(number), holder)
    with Change(tx, id=id, now=now) as change:
        good = not outcome.error
        done: Commit | None = mark_finished(
            change,
            number,
            root=tree_root(outcome.root) if good else None,
            size_bytes=outcome.size_bytes,
            error=outcome.error,
            compacting=outcome.compacting,
            validating=outcome.validating,
        )
        if done is None or done.error:
            return  # an errored commit is read as its layers over its base, and nobody builds on it
        fire_triggers(change, done, fresh_id)
        sessions = SessionStore(tx)  # the layers stay for the collector: a running call may have seen them
        sessions.publish(INDEX, outcome.packs, outcome.session, change.now)
        if not outcome.packs:
            sessions.check(outcome.session)
