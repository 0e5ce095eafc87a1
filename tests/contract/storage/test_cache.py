"""Rows of PFS's cache on every database: the oldest go, held file sets stay."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.kit.storage.database import Database, KitBase
from services.pfs.domain.files.file_errors import PathMissing
from services.pfs.storage import cache
from services.pfs.storage.cache import CacheStore
from services.pfs.storage.content.filesets import NEVER, FileSetStore
from services.pfs.storage.tables import Base
from tests.support.postgres import Postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    postgres: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    with Database(f"sqlite:///{tmp_path / 'cache.db'}" if postgres is None else postgres.schema()) as found:
        KitBase.metadata.create_all(found.engine)
        Base.metadata.create_all(found.engine)
        yield found


def test_what_was_not_used_for_longest_goes_first(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_ENTRIES", 3)
    for number in range(3):
        db.run_here(lambda tx, n: CacheStore(tx).add(f"k{n}", b"v", [], tag="", now=NOW + n * MINUTE), number)
    assert db.run_here(lambda tx: CacheStore(tx).get("k0", NOW + 9 * MINUTE)) == b"v"
    db.run_here(lambda tx: CacheStore(tx).add("new", b"v", [], tag="", now=NOW + 10 * MINUTE))
    found = [db.run_here(lambda tx, k: CacheStore(tx).get(k, NOW), key) for key in ("k0", "k1", "k2", "new")]
    assert found == [b"v", None, b"v", b"v"]


def test_a_file_set_lives_while_an_entry_holds_it_and_for_a_while_after(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MOST_ENTRIES", 1)
    late = NOW + timedelta(days=9)
    db.run_here(lambda tx: FileSetStore(tx).add("f", b"", ttl=MINUTE, now=NOW))
    db.run_here(lambda tx: CacheStore(tx).add("k", b"v", ["f", "f"], tag="t", now=NOW))
    db.run_here(lambda tx: FileSetStore(tx).forget_expired(late))
    assert db.run_here(lambda tx: FileSetStore(tx).get("f", late).expires_at) == NEVER
    db.run_here(lambda tx: CacheStore(tx).add("k2", b"v", ["f"], tag="t2", now=late))  # k has to go
    assert db.run_here(lambda tx: FileSetStore(tx).get("f", late).expires_at) == NEVER
    db.run_here(lambda tx: CacheStore(tx).clear("t", late))
    db.run_here(lambda tx: FileSetStore(tx).get("f", late + MINUTE))
    with pytest.raises(PathMissing):
        db.run_here(lambda tx: FileSetStore(tx).get("f", late + timedelta(hours=1)))
