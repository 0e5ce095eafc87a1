"""Egress into the tables of a real PostgreSQL server, as the protocol says it."""

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import grpc
import psycopg
import pytest

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.postgres import Postgres
from tests.support.servers import SERVING, channel, running, service_command, settings, unique
from tests.system.pfs.driver import Repo, put, refused

UNKNOWN, DENIED = grpc.StatusCode.UNKNOWN, grpc.StatusCode.PERMISSION_DENIED
FORMAT = pfs.SQLDatabaseEgress.FileFormat
SECRET = pfs.SQLDatabaseEgress.Secret(name="s", key="PACHYDERM_SQL_PASSWORD")


@pytest.fixture(scope="module")
def port(postgres: Postgres) -> Iterator[int]:
    """A TCP port that leads to the server, which itself listens on a socket file only."""
    folder = parse_qs(urlsplit(postgres.url).query)["host"][0]
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=_serve, args=(listener, f"{folder}/.s.PGSQL.5432"), daemon=True).start()
        yield listener.getsockname()[1]


def _serve(listener: socket.socket, path: str) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect(path)
        threading.Thread(target=_pump, args=(near, far), daemon=True).start()


def _pump(near: socket.socket, far: socket.socket) -> None:
    with near, far:
        while True:
            for ready in select.select([near, far], [], [])[0]:
                try:
                    data = ready.recv(1 << 16)
                    (far if ready is near else near).sendall(data)
                except OSError:
                    return
                if not data:
                    return


@dataclass
class Place:
    channel: grpc.Channel
    url: str
    postgres: str

    def sql(self, text: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.postgres, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(text.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str, postgres: Postgres, port: int
) -> Iterator[Place]:
    env = settings("pfs", tmp_path_factory.mktemp("sql"), nats_url=nats_url, token=service_token)
    env["PACHYDERM_SQL_PASSWORD"] = "unused: the server trusts whoever reaches it"
    url = f"postgres://postgres@127.0.0.1:{port}{urlsplit(postgres.url).path}"
    with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
        yield Place(opened, url, postgres.url)


@pytest.fixture
def repo(place: Place) -> Repo:
    return Repo(place.channel)


@pytest.fixture
def table(place: Place) -> str:
    """A table with a row that egress has to take away."""
    name = unique("t").replace("-", "_")
    place.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, word text, at timestamptz, ok boolean, part numeric)")
    place.sql(f"INSERT INTO {name} VALUES (99, 'old')")
    return name


def egress(repo: Repo, place: Place, kind: "FORMAT.Type.ValueType", *columns: str, url: str = "") -> dict[str, int]:
    format = FORMAT(type=kind, columns=columns)
    target = pfs.SQLDatabaseEgress(url=url or place.url, file_format=format, secret=SECRET)
    answer = repo.api.Egress(pfs.EgressRequest(commit=repo.head, sql_database=target))
    return dict(answer.sql_database.rows_written)


def test_csv_fills_a_table_in_the_order_of_its_columns(repo: Repo, place: Place, table: str) -> None:
    rows = b'1,"a ""b""",2026-01-02T03:04:05Z,true,1.50\n2,,,f,\n3,"",,,\n'
    repo.modify(put(f"{table}/0000", rows), put(f"{table}/deep/er", b"4,x,,,\n"), put(f"{table}/none", b""))
    repo.wait()
    for _ in range(2):  # it is emptied first
        assert egress(repo, place, FORMAT.CSV) == {table: 4}
    found = place.sql(f"SELECT id, word, extract(epoch FROM at)::bigint, ok, part::text FROM {table} ORDER BY id")
    assert found == [
        (1, 'a "b"', 1767323045, True, "1.50"),
        (2, None, None, False, None),
        (3, "", None, None, None),
        (4, "x", None, None, None),
    ]


def test_a_header_selects_and_reorders_columns(repo: Repo, place: Place, table: str) -> None:
    repo.modify(put(f"{table}/a", b"word,extra,id\nx,?,1\n"), put(f"public.{table}_2/b", b"id,word\n5,y\n"))
    repo.wait()
    place.sql(f"CREATE TABLE {table}_2 (LIKE {table})")
    assert egress(repo, place, FORMAT.CSV, "id", "word") == {table: 1, f"public.{table}_2": 1}
    assert place.sql(f"SELECT id, word FROM {table}") == [(1, "x")]
    assert place.sql(f"SELECT id, word FROM {table}_2") == [(5, "y")]


def test_json_fills_columns_by_their_names(repo: Repo, place: Place, table: str) -> None:
    rows = (
        b'{"id": 1, "word": "x", "ok": true, "part": 0.1000000000000000000001, "other": 1}\n{"id": 2, "word": {"a": 1}}'
    )
    repo.modify(put(f"{table}/a.json", rows))
    repo.wait()
    assert egress(repo, place, FORMAT.JSON) == {table: 2}
    found = place.sql(f"SELECT id, word, ok, part::text FROM {table} ORDER BY id")
    assert found == [(1, "x", True, "0.1000000000000000000001"), (2, '{"a": 1}', None, None)]


def test_an_empty_file_empties_its_table_and_an_empty_commit_touches_none(repo: Repo, place: Place, table: str) -> None:
    repo.modify()
    repo.wait()
    assert egress(repo, place, FORMAT.CSV) == {}
    assert place.sql(f"SELECT id FROM {table}") == [(99,)]
    repo.modify(put(f"{table}/empty", b""))
    repo.wait()
    assert egress(repo, place, FORMAT.CSV) == {table: 0}
    assert place.sql(f"SELECT id FROM {table}") == []


def test_many_rows_are_all_there(repo: Repo, place: Place, table: str) -> None:
    repo.modify(put(f"{table}/a", b"".join(b"%d,w%d,,,\n" % (n, n) for n in range(12_345))))
    repo.wait()
    assert egress(repo, place, FORMAT.CSV) == {table: 12_345}
    assert place.sql(f"SELECT count(*), sum(id) FROM {table}") == [(12_345, sum(range(12_345)))]


@pytest.mark.parametrize(
    ("data", "columns", "why"),
    [
        (b"1,x\n", [], "row 1: it has 2 fields, and not 5"),
        (b"no number,x,,,\n", [], "invalid input syntax for type integer"),
        (b"1,,,,\n1,,,,\n", [], "duplicate key value"),
        (b"id,nope\n1,x\n", ["id", "nope"], "has no column 'nope'"),
        (b"id\n1\n", ["id", "word"], "the header has no column 'word'"),
    ],
)
def test_what_does_not_fit_changes_nothing(
    repo: Repo, place: Place, table: str, data: bytes, columns: list[str], why: str
) -> None:
    place.sql(f"CREATE TABLE {table}_0 (LIKE {table})")
    place.sql(f"INSERT INTO {table}_0 VALUES (98)")
    good = b"id,word,nope\n1,x,y\n" if columns else b"1,x,,,\n"
    repo.modify(put(f"{table}/a", data), put(f"{table}_0/a", good))
    repo.wait()
    with refused(UNKNOWN, why):
        egress(repo, place, FORMAT.CSV, *columns)
    assert place.sql(f"SELECT id FROM {table} UNION SELECT id FROM {table}_0 ORDER BY id") == [(98,), (99,)]


def test_a_table_has_to_be_there(repo: Repo, place: Place) -> None:
    repo.modify(put("no_such_table/a", b"1\n"))
    repo.wait()
    with refused(UNKNOWN, "there is no table no_such_table"):
        egress(repo, place, FORMAT.CSV)


def test_targets_that_cannot_be_are_refused_by_name(repo: Repo, place: Place) -> None:
    repo.modify(put("t/a", b"1\n"))
    repo.wait()

    def ask(**fields: object) -> None:
        target = pfs.SQLDatabaseEgress(**fields)  # type: ignore[arg-type]
        repo.api.Egress(pfs.EgressRequest(commit=repo.head, sql_database=target))

    csv = FORMAT(type=FORMAT.CSV)
    with refused(UNKNOWN, "egress.sql_database.secret is required"):
        ask(url=place.url, file_format=csv)
    with refused(UNKNOWN, "egress.sql_database.secret.name and egress.sql_database.secret.key are required"):
        ask(url=place.url, file_format=csv, secret=pfs.SQLDatabaseEgress.Secret(name="x"))
    for kind, name in ((FORMAT.UNKNOWN, "UNKNOWN"), (FORMAT.PARQUET, "PARQUET"), (FORMAT.Type.ValueType(99), "99")):
        with refused(UNKNOWN, f"unknown file format {name}"):
            egress(repo, place, kind)
    for scheme, package in (("mysql", "pymysql"), ("snowflake", "snowflake-sqlalchemy")):
        with refused(grpc.StatusCode.UNIMPLEMENTED, f"no driver for {scheme} databases: {package} is not installed"):
            egress(repo, place, FORMAT.CSV, url=f"{scheme}://me@host/db")
    for url, why in [
        ("sqlite:////etc/x.db", "there are mysql, postgres, postgresql, snowflake"),
        ("nonsense", "a database is written postgres://user@host/name"),
        ("postgres:///db", "it names no host"),
        ("postgres://h/db?host=/var/run", "the option host is not taken"),
        ("postgres://h/db?sslkey=/etc/x", "the option sslkey is not taken"),
        ("postgres://me:pw@127.0.0.1:1/db", "error writing to postgres://me@127.0.0.1:1/db: "),
    ]:
        with refused(UNKNOWN, why):
            egress(repo, place, FORMAT.CSV, url=url)
    with refused(DENIED, "169.254.169.254 is for this machine's own use"):
        egress(repo, place, FORMAT.CSV, url="postgres://me@169.254.169.254/db")


def test_the_operator_has_to_set_the_password(tmp_path: Path, nats_url: str, service_token: str) -> None:
    env = settings("pfs", tmp_path, nats_url=nats_url, token=service_token)
    assert "PACHYDERM_SQL_PASSWORD" not in os.environ
    with running(service_command("pfs"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
        repo = Repo(opened)
        repo.modify(put("t/a", b"1\n"))
        repo.wait()
        with refused(UNKNOWN, "must set PACHYDERM_SQL_PASSWORD"):
            egress(repo, Place(opened, "postgres://me@127.0.0.1:1/db", ""), FORMAT.CSV)
