"""A small commit is FINISHED by the change that closes it, if it still is what its tree was built for."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest
from sqlalchemy import select

from services.kit.objects.local import LocalObjects
from services.kit.objects.port import Data
from services.kit.storage.database import Database, KitBase
from services.kit.storage.outbox import _oldest
from services.kit.time.clock import fresh_id
from services.pfs.domain.commits import Commit
from services.pfs.domain.files.entries import REPLACE, Op
from services.pfs.domain.files.paths import key_of
from services.pfs.domain.keys import BranchKey, CommitRef, RepoKey
from services.pfs.operations.dag.change import changed
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.files.landing import Landing, find_target, land
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.finishing.ahead import Ahead, built, close_commit, foresee
from services.pfs.operations.finishing.finish import Work, finish, publish
from services.pfs.operations.refs.commits import start_commit
from services.pfs.operations.refs.projects import settle
from services.pfs.operations.refs.repos import create_repo
from services.pfs.servicers import base
from services.pfs.servicers.base import Rpcs
from services.pfs.storage.content.content_tables import LayerRow
from services.pfs.storage.content.layers import Part
from services.pfs.storage.tables import Base

REPO = RepoKey("default", "r")
MASTER, HEAD = BranchKey(REPO, "master"), CommitRef(REPO, "", "master")


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{tmp_path}/pfs.db") as found:
        KitBase.metadata.create_all(found.engine)
        Base.metadata.create_all(found.engine)
        found.run_here(settle, now())
        found.run_here(changed, create_repo, fresh_id(), now, REPO)
        yield found


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores.over(LocalObjects(tmp_path / "store"))


def start(db: Database) -> CommitRef:
    return db.run_here(changed, start_commit, fresh_id(), now, MASTER).ref


def parts(stores: Stores, *paths: str) -> list[Part]:
    return [stores.layers.write([Op(key_of(path, "default"), REPLACE) for path in sorted(paths)])]


def write(db: Database, stores: Stores, ref: CommitRef, *paths: str) -> None:
    landing = Landing(parts(stores, *paths), [], "")
    target = db.run_here(find_target, ref)
    assert db.run_here(land, target, landing, id=fresh_id(), now=now) is None


def ahead_of(db: Database, stores: Stores, ref: CommitRef) -> Ahead | None:
    work = db.run_here(foresee, ref)
    return None if work is None else built(stores, work)


def close(db: Database, ref: CommitRef, ahead: Ahead | None, error: str = "") -> Work | None:
    left, good = db.run_here(close_commit, ref, ahead, id=fresh_id(), now=now, error=error)
    closed = commit(db, ref)
    assert good == (closed.finished is not None and not closed.error), "callers are told the truth"
    return left


def commit(db: Database, ref: CommitRef) -> Commit:
    return db.run_here(resolve_commit, ref)


def news(db: Database, ref: CommitRef) -> list[str]:
    return [one.subject for _, one in db.run_here(_oldest) if one.key.endswith(ref.id)]


def test_a_small_commit_is_finished_as_it_is_closed(db: Database, stores: Stores) -> None:
    ref = start(db)
    write(db, stores, ref, "/a", "/b")
    assert close(db, ref, ahead_of(db, stores, ref)) is None
    found = commit(db, ref)
    assert found.finished is not None
    assert found.root is not None
    assert found.root.rows == 2
    assert news(db, ref) == ["pfs.commit.started", "pfs.commit.finished"]
    second = start(db)
    write(db, stores, second, "/c")
    assert close(db, second, ahead_of(db, stores, second)) is None
    root = commit(db, second).root
    assert root is not None
    assert root.rows == 3


def test_what_was_written_since_is_not_lost(db: Database, stores: Stores) -> None:
    ref = start(db)
    write(db, stores, ref, "/a")
    ahead = ahead_of(db, stores, ref)
    write(db, stores, ref, "/b")
    work = close(db, ref, ahead)
    assert work is not None
    assert commit(db, ref).finished is None
    assert news(db, ref) == ["pfs.commit.started", "pfs.commit.finishing"]
    db.run_here(publish, work.number, finish(stores, work), None, id=fresh_id(), now=now)
    root = commit(db, ref).root
    assert root is not None
    assert root.rows == 2


def test_a_commit_that_is_given_an_error_has_no_tree(db: Database, stores: Stores) -> None:
    ref = start(db)
    write(db, stores, ref, "/a")
    work = close(db, ref, ahead_of(db, stores, ref), error="no")
    assert work is not None
    assert work.failed


def test_a_tree_with_a_file_as_a_directory_is_an_error(db: Database, stores: Stores) -> None:
    ref = start(db)
    write(db, stores, ref, "/a", "/a/b")
    assert close(db, ref, ahead_of(db, stores, ref)) is None
    found = commit(db, ref)
    assert (found.finished is not None, found.root) == (True, None)
    assert "/a" in found.error


def test_nothing_is_foreseen_of_what_must_be_waited_for_or_is_not_there(db: Database, stores: Stores) -> None:
    first = start(db)
    write(db, stores, first, "/a")
    assert close(db, first, None) is not None
    second = start(db)
    assert db.run_here(foresee, second) is None, "its base is not FINISHED"
    assert db.run_here(foresee, first) is None, "it is closed already"
    assert db.run_here(foresee, CommitRef(REPO, "0" * 32)) is None


def one_shot(db: Database, stores: Stores, path: str, *, between: str = "") -> Work | None:
    """between: what somebody else commits before this one lands."""
    target, landing = db.run_here(find_target, HEAD), Landing(parts(stores, path), [], "")
    foreseen = target.foreseen(landing.parts)
    ahead = None if foreseen is None else built(stores, foreseen)
    if between:
        assert one_shot(db, stores, between) is None
    return db.run_here(land, target, landing, id=fresh_id(), now=now, ahead=ahead)


def test_a_one_shot_commit_is_finished_as_it_is_made(db: Database, stores: Stores) -> None:
    assert one_shot(db, stores, "/a") is None
    assert one_shot(db, stores, "/b") is None
    found = commit(db, HEAD)
    assert found.finished is not None
    assert found.root is not None
    assert found.root.rows == 2
    assert news(db, found.ref) == ["pfs.commit.started", "pfs.commit.finished"]


def test_a_one_shot_commit_whose_branch_moved_is_built_anew(db: Database, stores: Stores) -> None:
    work = one_shot(db, stores, "/a", between="/b")
    assert work is not None
    assert commit(db, HEAD).finished is None
    db.run_here(publish, work.number, finish(stores, work), None, id=fresh_id(), now=now)
    root = commit(db, HEAD).root
    assert root is not None
    assert root.rows == 2
    with db.engine.connect() as connection:
        assert len(connection.execute(select(LayerRow.number)).all()) == 2


class Stuck(LocalObjects):
    """A store that takes nothing until it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.go_on = Event()

    def put(self, key: str, data: Data) -> None:
        self.go_on.wait(60)
        super().put(key, data)


async def test_a_store_that_does_not_answer_keeps_no_commit_open(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Stuck(tmp_path / "stuck")
    stores, none = Stores.over(objects), cast(Any, None)
    rpcs = Rpcs(db=db, bus=none, clock=none, stores=stores, views=none, urls=none, service_token="", closed=none)
    monkeypatch.setattr(base, "PATIENCE", timedelta(milliseconds=50))
    ref = start(db)
    write(db, stores, ref, "/a")
    try:
        assert await rpcs.built(await db.read(foresee, ref)) is None
    finally:
        objects.go_on.set()
    monkeypatch.setattr(base, "PATIENCE", timedelta(minutes=1))
    assert await rpcs.built(await db.read(foresee, ref)) is not None
    assert await rpcs.built(None) is None
