"""An instance over PostgreSQL and S3 is backed up at work and restored to files, and one of files to servers.

Writes and collections go on while it is copied. Elsewhere: an instance of files (test_backup.py).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import datamill
from tests.support.command_line import CommandLine, Done
from tests.support.postgres import Postgres
from tests.support.seaweed import Seaweed
from tests.support.servers import eventually, unique
from tests.system.instance.test_backup import SPEC, Writer, address

pytestmark = pytest.mark.timeout(900)


@contextmanager
def collecting(line: CommandLine, client: datamill.Client) -> Iterator[list[Done]]:
    """`datamill gc` again and again, with something to collect."""
    over, done = threading.Event(), list[Done]()

    def collect() -> None:
        while not over.is_set():
            client.create_repo("garbage")
            with client.commit("garbage@master") as commit:
                commit.put("/some", b"soon nobody's" * 100)
            client.delete_repo("garbage")
            done.append(line.run("gc", "--hold", "0s", seconds=600))

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


@contextmanager
def up(line: CommandLine, data_dir: Path, *more: str) -> Iterator[datamill.Client]:
    started = line.run("up", "--data-dir", str(data_dir), "--port", "0", "--detach", *more)
    assert started.code == 0, started.err
    try:
        with datamill.Client(address(data_dir)) as client:
            yield client
    finally:
        line.run("down", "--data-dir", str(data_dir))


def ok(line: CommandLine, *args: str) -> Done:
    """A command that must succeed, however busy the machine is."""
    done = line.run(*args, seconds=600)
    assert (done.code, done.err) == (0, ""), f"{args}: {done}"
    return done


def holds(client: datamill.Client, commits: dict[str, tuple[str, bytes]]) -> None:
    for id, (path, data) in commits.items():
        assert client.get(f"source@{id}:{path}") == data, id
    newest = list(commits)[-1]
    client.wait_commit(f"count@{newest}")
    for path, data in commits.values():
        assert client.get(f"count@{newest}:{path}").strip() == b"%d" % len(data)


@pytest.mark.long
def test_from_servers_to_files(tmp_path: Path, postgres: Postgres, seaweed: Seaweed) -> None:
    line = CommandLine(tmp_path, environ=seaweed.environment)
    home, files, target = (tmp_path / name for name in ("home", "files", "backup"))
    servers = "--database-url", _schema(postgres), "--store", seaweed.url(unique("kept"))
    with up(line, home, *servers) as client:
        line.ok("create", "repo", "source")
        line.ok("create", "pipeline", "-f", "-", stdin=SPEC)
        writer = Writer(address(home), follows="count")
        with collecting(line, client) as collections:
            eventually(lambda: len(writer.done) >= 3 or bool(writer.trouble), "some commits")
            assert " 0 were there" in ok(line, "backup", str(target)).out
            more = len(writer.done) + 2
            eventually(lambda: len(writer.done) >= more or bool(writer.trouble), "more commits")
            before = dict(writer.done)
            assert " 0 were there" not in ok(line, "backup", str(target)).out
        writer.stop()
        assert any(done.code == 0 for done in collections), collections
        assert not list(home.glob("*/*.db")), "nothing is kept in SQLite"
    full = line.run("restore", str(target), "--data-dir", str(files), *servers)
    assert "holds tables already" in full.err
    taken = line.run("restore", str(target), "--data-dir", str(files), *servers[2:])
    assert "holds an instance already" in taken.err
    ok(line, "restore", str(target), "--data-dir", str(files))
    with up(line, files) as client:
        holds(client, before)
        assert "0 damaged" in line.ok("scrub", "--data-dir", str(files)).out


def test_from_files_to_servers(tmp_path: Path, postgres: Postgres, seaweed: Seaweed) -> None:
    line = CommandLine(tmp_path, environ=seaweed.environment)
    home, again, target = (tmp_path / name for name in ("home", "again", "backup"))
    with up(line, home) as client:
        line.ok("create", "repo", "source")
        line.ok("create", "pipeline", "-f", "-", stdin=SPEC)
        with client.commit("source@master") as commit:
            commit.put("/old", b"old")
        client.wait_commit(f"count@{commit.id}")
        ok(line, "backup", str(target))
    chosen = {"DATAMILL_DATABASE_URL": _schema(postgres), "DATAMILL_STORE": seaweed.url(unique("kept"))}
    there = replace(line, environ={**line.environ, **chosen})
    ok(there, "restore", str(target), "--data-dir", str(again))
    assert not [*again.glob("*/*.db"), *again.glob("store/*")], "nothing of it is in the data directory"
    with up(line, again) as client:
        holds(client, {commit.id: ("/old", b"old")})
        with client.commit("source@master") as more:
            more.put("/new", b"12345")
        client.wait_commit(f"count@{more.id}")
        assert client.get(f"count@{more.id}:/new").strip() == b"5"
        assert client.get(f"count@{more.id}:/old").strip() == b"3"


def _schema(postgres: Postgres) -> str:
    return postgres.schema(unique("whole").replace("-", "_"))
