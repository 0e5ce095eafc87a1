"""Views of what took merging: a slow one holds up nobody who reads something else."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import cast

from sqlalchemy.orm import Session

from services.kit.bus import Bus
from services.kit.objects.local import LocalObjects
from services.kit.sortedmap.rows import EMPTY
from services.kit.storage.database import Database, KitBase
from services.kit.time.clock import SystemClock
from services.pfs.domain.files.entries import APPEND, Op
from services.pfs.domain.files.paths import key_of
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import Sight, Views
from services.pfs.storage.content import layers
from services.pfs.storage.content.filesets import FILE_SETS, FileSetStore
from services.pfs.storage.tables import Base

SLOW, FAST = "a" * 32, "b" * 32
MORE_THAN_THREADS = 40


class SlowObjects(LocalObjects):
    """A store that answers once it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked, self.go_on = Event(), Event()

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        self.asked.set()
        self.go_on.wait(120)
        return super().get_range(key, offset, length)


def ref(id: str) -> CommitRef:
    return CommitRef(RepoKey("default", FILE_SETS), id)


def keep(tx: Session, id: str, parts: bytes) -> None:
    FileSetStore(tx).add(id, parts, ttl=timedelta(days=1), now=datetime.now(UTC))


async def test_a_view_that_takes_long_holds_up_no_other(tmp_path: Path) -> None:
    objects = SlowObjects(tmp_path)
    stores = Stores.over(objects)
    long = [Op(key_of(f"/{number:05}", ""), 0) for number in range(layers.FRAME_OPS + 1)]
    with Database(f"sqlite:///{tmp_path}/pfs.db") as db:
        KitBase.metadata.create_all(db.engine)
        Base.metadata.create_all(db.engine)
        for id, ops in ((SLOW, long), (FAST, long[:1])):
            await db.run(keep, id, layers.encode_parts([stores.layers.write(ops)]))
        views = Views(db, cast(Bus, None), stores, SystemClock())
        async with asyncio.TaskGroup() as tasks:
            slow = [tasks.create_task(views.open(ref(SLOW))) for _ in range(MORE_THAN_THREADS)]
            assert await asyncio.to_thread(objects.asked.wait, 30)
            try:
                async with asyncio.timeout(30):
                    assert (await views.open(ref(FAST))).root.rows == 1
            finally:
                objects.go_on.set()
        assert {task.result().root.rows for task in slow} == {len(long)}


def test_a_view_of_more_layers_grows_out_of_the_one_before(tmp_path: Path) -> None:
    stores = Stores.over(LocalObjects(tmp_path))
    views = Views(cast(Database, None), cast(Bus, None), stores, SystemClock())
    made: list[tuple[object, bytes]] = []
    for number in range(50):
        parts = [stores.layers.write([Op(key_of(f"/{number}", ""), APPEND)])]
        made.append((number, layers.encode_parts(parts)))
    few, more = (Sight(ref(SLOW), EMPTY, tuple(made[:count])) for count in (20, 50))
    first, second = views._merged(few), views._merged(more)
    assert (first.root.rows, second.root.rows) == (20, 50)
    assert first.reader is second.reader
    again, older = views._merged(more), views._merged(few)
    assert (again.root, older.root.id) == (second.root, first.root.id)
    assert older.reader is not second.reader
