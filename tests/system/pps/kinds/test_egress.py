"""A pipeline's outputs in a bucket, and in the tables of a database, with the password of a secret."""

from urllib.parse import urlsplit

import psycopg
import pytest

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import pps_v2_pb2_grpc as pps_grpc
from services.jobs.peers.pfs import with_password
from tests.support.patience import eventually
from tests.support.postgres import Postgres
from tests.support.seaweed import BUCKET, Seaweed
from tests.support.servers import channel, unique
from tests.system.chaos.patient import Patient
from tests.system.pfs.files.test_sql_egress import port
from tests.system.pps.test_secrets import document

__all__ = ["port"]


@pytest.mark.parametrize(
    ("url", "password", "wanted"),
    [
        ("postgres://me@host:5432/db?sslmode=require", "a b/@:", "postgres://me:a%20b%2F%40%3A@host:5432/db?sslmode=require"),
        ("postgres://host/db", "x", "postgres://:x@host/db"),
        ("postgres://me:own@host/db", "x", "postgres://me:own@host/db"),
        ("postgres://me@host/db", "", "postgres://me@host/db"),
    ],
)  # fmt: skip
def test_where_a_password_goes(url: str, password: str, wanted: str) -> None:
    assert with_password(url, password) == wanted


def test_outputs_are_copied_to_a_bucket(instance: Patient, seaweed: Seaweed) -> None:
    source, name = unique("in"), unique("copied")
    instance.create_repo(source)
    instance.create_pipeline(
        {
            "pipeline": {"name": name},
            "transform": {"cmd": ["sh", "-c", f"mkdir /pfs/out/deep; cp /pfs/{source}/* /pfs/out/deep"]},
            "input": {"pfs": {"repo": source, "glob": "/*"}},
            "egress": {"URL": f"minio://{BUCKET}/{name}"},
        }
    )
    id = instance.have_commit(f"{source}@master", {"/a": b"1", "/b": b"2"})
    assert instance.ended(name, id).state == pps.JOB_SUCCESS
    found = seaweed.client().list_objects(BUCKET, prefix=f"{name}/", recursive=True)
    assert {one.object_name for one in found} == {f"{name}/deep/a", f"{name}/deep/b"}


def test_outputs_fill_tables_once_there_is_a_password(instance: Patient, postgres: Postgres, port: int) -> None:
    source, name, secret = unique("in"), unique("sql"), unique("db")
    table = name.replace("-", "_")
    url = f"postgres://postgres@127.0.0.1:{port}{urlsplit(postgres.url).path}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table} (id int, word text)".encode())
    instance.create_repo(source)
    instance.have_commit(f"{source}@master", {"/a": b"1,one\n"})
    script = f"mkdir /pfs/out/{table}; cp /pfs/{source}/* /pfs/out/{table}/"
    target = {"url": url, "fileFormat": {"type": "CSV"}, "secret": {"name": secret, "key": "password"}}
    instance.create_pipeline(
        {
            "pipeline": {"name": name},
            "transform": {"cmd": ["sh", "-c", script]},
            "input": {"pfs": {"repo": source, "glob": "/*"}},
            "egress": {"sqlDatabase": target},
        }
    )
    id = eventually(lambda: instance.jobs(name))[0].job.id
    eventually(lambda: instance.job(name, id).state == pps.JOB_EGRESSING)

    def told() -> bool:
        lines = instance.logs(pipeline=name, master=True)
        return any("egress failed" in line.message and secret in line.message for line in lines)

    eventually(told)
    with channel(instance.address.removeprefix("grpc://")) as opened:
        pps_grpc.APIStub(opened).CreateSecret(pps.CreateSecretRequest(file=document(secret, password="anything")))
    assert instance.ended(name, id).state == pps.JOB_SUCCESS
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        assert connection.execute(f"SELECT id, word FROM {table}".encode()).fetchall() == [(1, "one")]
