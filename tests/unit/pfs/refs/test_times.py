"""What comes later has a later time, whoever waited for whom and whatever clocks say."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from services.kit.storage.database import Database, KitBase
from services.kit.time.clock import Now, fresh_id
from services.pfs.domain.commits import Commit
from services.pfs.domain.keys import BranchKey, CommitRef, RepoKey
from services.pfs.operations.dag.change import Change, changed
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.refs.branches import create_branch
from services.pfs.operations.refs.commits import finish_commit, mark_finished, start_commit
from services.pfs.operations.refs.projects import settle
from services.pfs.operations.refs.repos import create_repo
from services.pfs.storage.tables import Base

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
REPO = RepoKey("default", "data")
MASTER = BranchKey(REPO, "master")
HEAD = CommitRef(REPO, branch="master")


@pytest.fixture
def url(tmp_path: Path) -> str:
    found = f"sqlite:///{tmp_path}/pfs.db"
    with Database(found) as db:
        KitBase.metadata.create_all(db.engine)
        Base.metadata.create_all(db.engine)
        db.run_here(settle, NOON)
        db.run_here(changed, create_repo, fresh_id(), lambda: NOON, REPO)
    return found


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with Database(url) as db:
        yield db


def one_commit(change: Change) -> Commit:
    start_commit(change, MASTER)
    closed = finish_commit(change, HEAD)
    finished = mark_finished(change, closed.number, root=None, size_bytes=0)
    assert finished is not None
    return finished


def at(moment: datetime) -> Now:
    return lambda: moment


def test_a_change_reads_the_clock_when_its_turn_comes(url: str, db: Database) -> None:
    asked = threading.Event()

    def now() -> datetime:
        asked.set()
        return NOON

    with Database(url) as other:  # as another process has it
        waiting = threading.Thread(target=other.run_here, args=(changed, one_commit, fresh_id(), now))

        def holding(tx: Session) -> None:
            with Change(tx, id=fresh_id(), now=at(NOON)) as change:
                waiting.start()
                assert not asked.wait(0.2)
                one_commit(change)

        db.run_here(holding)
        waiting.join()
    assert asked.is_set()


def test_a_clock_that_is_set_back_swaps_no_times(db: Database) -> None:
    first = db.run_here(changed, one_commit, fresh_id(), at(NOON))
    second = db.run_here(changed, one_commit, fresh_id(), at(NOON - timedelta(hours=1)))
    assert first.started == NOON < second.started < NOON + timedelta(seconds=1)
    assert second.finishing == second.finished == second.started


def test_a_commit_ends_after_it_began(db: Database) -> None:
    started = db.run_here(changed, start_commit, fresh_id(), at(NOON), MASTER)
    closed = db.run_here(changed, finish_commit, fresh_id(), at(NOON - timedelta(hours=1)), HEAD)
    ended = db.run_here(
        lambda tx: changed(tx, mark_finished, fresh_id(), at(NOON), closed.number, root=None, size_bytes=0)
    )
    assert ended is not None
    assert closed.finishing is not None
    assert ended.finished is not None
    assert started.started <= closed.finishing <= ended.finished


def test_commits_downstream_are_later_than_what_they_follow(db: Database) -> None:
    below = RepoKey("default", "below")
    db.run_here(changed, create_repo, fresh_id(), at(NOON), below)
    db.run_here(changed, lambda change: create_branch(change, MASTER), fresh_id(), at(NOON))
    output = BranchKey(below, "master")
    work = lambda change: create_branch(change, output, provenance=[MASTER])  # noqa: E731
    db.run_here(changed, work, fresh_id(), at(NOON))
    db.run_here(changed, one_commit, fresh_id(), at(NOON - timedelta(hours=1)))
    newest = db.run_here(resolve_commit, CommitRef(below, branch="master"))
    older = db.run_here(resolve_commit, CommitRef(below, branch="master", id="^"))
    assert newest.started > older.started
