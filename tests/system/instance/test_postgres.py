"""A whole instance over PostgreSQL: a DAG through a restart of the server, and what `up` and `status` say of it."""

from collections.abc import Iterator

import pytest

from datamill.wire import pps_v2_pb2 as pps
from tests.support.postgres import Postgres
from tests.support.servers import free_port
from tests.system.chaos.dag import PIPELINES, names_of, wanted_outputs
from tests.system.chaos.patient import Patient
from tests.system.instance.test_up import PARTS, Instance

NAMES = names_of(PIPELINES)


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory, own_postgres: Postgres) -> Iterator[Instance]:
    found = Instance(tmp_path_factory.mktemp("instance") / "data")
    done = found.do("up", "--port", "0", "--detach", "--database-url", own_postgres.url)
    assert (done.returncode, done.stderr) == (0, "")
    yield found
    found.do("down")


def test_a_dag_runs_over_postgresql_and_goes_on_after_its_restart(instance: Instance, own_postgres: Postgres) -> None:
    pids = [instance.part(part)["pid"] for part in PARTS]
    contents = {f"/f{number:02d}": b"%d " % number * 50 for number in range(6)}
    with Patient(instance.target) as client:
        client.have_repo("source")
        for request in PIPELINES:
            client.have_pipeline(request.pipeline.name, request)
        id = client.have_commit("source@master", contents)
        own_postgres.stop()
        away = instance.do("status")
        own_postgres.start()
        for name in NAMES:
            info = client.ended(name, id)
            assert info.state == pps.JOB_SUCCESS, f"{name}: {info.reason}"
        assert {name: client.contents(name, id) for name in NAMES} == wanted_outputs(contents)
    assert away.returncode == 2
    assert "cannot use the database postgresql://" in away.stdout
    assert [instance.part(part)["pid"] for part in PARTS] == pids, "no service had to be started again"
    assert not list(instance.data_dir.rglob("*.db")), "nothing is kept in SQLite"
    assert instance.do("down").returncode == 0
    again = instance.do("up", "--port", "0", "--detach")
    assert again.returncode == 0, again.stderr
    assert "source" in instance.repos(), "it remembers where its databases are"
    status = instance.do("status")
    assert status.returncode == 0
    assert "database postgresql://" in status.stdout


def test_a_server_that_is_away_is_told_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    nobody = Instance(tmp_path_factory.mktemp("nobody") / "data")
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    done = nobody.do("up", "--port", "0", "--detach", "--database-url", url)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot use the database postgresql://me:***@127.0.0.1")
    assert "refused" in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    wrong = nobody.do("up", "--port", "0", "--detach", "--database-url", "mysql://here")
    assert "must be like postgresql://" in wrong.stderr


def test_a_directory_with_sqlite_stays_with_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    found = Instance(tmp_path_factory.mktemp("sqlite") / "data")
    (found.data_dir / "pfs").mkdir(parents=True)
    (found.data_dir / "pfs" / "pfs.db").touch()
    done = found.do("up", "--port", "0", "--detach", "--database-url", "postgresql://127.0.0.1/x")
    assert done.returncode == 1
    assert "keeps its databases in SQLite" in done.stderr
