"""The database of PFS is locked, or restarted, while clients write: calls wait or say so, and all goes on by itself."""

import sqlite3
from contextlib import closing

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.patience import eventually
from tests.support.postgres import Postgres
from tests.system.outages.conftest import StartPfs
from tests.system.outages.writing import PATIENCE, writing


def test_a_file_that_another_process_has_locked_is_waited_for(start_pfs: StartPfs) -> None:
    alone = start_pfs({})
    with writing(alone.channel) as work:
        work.go_on()
        with closing(sqlite3.connect(alone.root / "pfs.db", isolation_level=None, timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")
            repo = work.writers[0].repo
            request = pfs.CreateRepoRequest(repo=repo.api.wire, description="waits", update=True)
            describing = repo.api.api.CreateRepo.future(request)
            assert set(repo.kept) <= set(repo.ids()), "who reads goes on"
            assert not describing.done()
            other.execute("ROLLBACK")
        describing.result(timeout=PATIENCE)
        work.go_on()
    assert work.refusals == [], "so short a lock is waited for"


def test_a_server_that_is_restarted_under_writers(start_pfs: StartPfs, own_postgres: Postgres) -> None:
    alone = start_pfs({"PFS_DATABASE_URL": own_postgres.schema()})
    with writing(alone.channel) as work:
        for _ in range(2):
            work.go_on()
            own_postgres.stop()
            own_postgres.start()
        own_postgres.stop()
        eventually(lambda: work.refusals, within=PATIENCE)
        own_postgres.start()
        work.go_on()
    assert set(work.refusals) == {"the database cannot be reached or is busy; try again"}
    assert alone.process.process.poll() is None
