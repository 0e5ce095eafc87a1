"""`datamill gc`, `scrub`, `backup` and `restore` of a whole instance that goes on working meanwhile."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import datamill
from tests.support.command_line import CommandLine, command
from tests.support.servers import eventually

pytestmark = pytest.mark.timeout(900)  # three instances and a dozen commands: minutes on a machine that is busy
SPEC = """
pipeline: {name: count}
input: {pfs: {repo: source, glob: "/*"}}
transform:
  image: none:1
  cmd: [bash]
  stdin: ["for file in /pfs/source/*; do wc -c < $file > /pfs/out/$(basename $file); done"]
"""


class Writer:
    """Commits a file a turn until it is stopped. `done`: what was acknowledged, by commit id.

    follows: a pipeline whose output it waits for each time.
    """

    def __init__(self, address: str, follows: str = "") -> None:
        self._follows = follows
        self.done: dict[str, tuple[str, bytes]] = {}
        self.trouble: list[Exception] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(address,))
        self._thread.start()

    def _run(self, address: str) -> None:
        number = 0
        try:
            with datamill.Client(address) as client:
                while not self._stop.is_set():
                    path, data = f"/f{number:04d}", b"%d " % number * 500
                    with client.commit("source@master") as commit:
                        commit.put(path, data)
                    self.done[commit.id] = path, data
                    if self._follows:
                        client.wait_commit(f"{self._follows}@{commit.id}")
                    number += 1
        except Exception as error:  # noqa: BLE001 - told when it is stopped
            self.trouble.append(error)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self.trouble


@pytest.fixture
def line(tmp_path: Path) -> Iterator[CommandLine]:
    found = CommandLine(tmp_path)
    assert found.run("up", "--port", "0", "--detach").code == 0
    yield found
    found.run("down")


def address(data_dir: Path) -> str:
    return (data_dir / "address").read_text().strip()


def test_a_backup_under_writes_is_restored_and_pipelines_go_on(line: CommandLine, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    line.ok("create", "repo", "source")
    line.ok("create", "pipeline", "-f", "-", stdin=SPEC)
    writer = Writer(address(tmp_path / "home"))
    eventually(lambda: len(writer.done) >= 10 or bool(writer.trouble), "some commits")
    first = line.ok("backup", str(target))
    assert " 0 were there" in first.out
    more = len(writer.done) + 10
    eventually(lambda: len(writer.done) >= more or bool(writer.trouble), "more commits")
    before = dict(writer.done)
    second = line.ok("backup", str(target))
    assert " 0 were there" not in second.out
    writer.stop()
    assert "in use" in line.ok("gc", "--hold", "0s").out
    assert "0 damaged" in line.ok("scrub").out
    hit = damaged(tmp_path / "home/store/packs", there=target / "objects/pfs/packs")
    assert f"packs/{hit.parent.name}/{hit.name}" in line.run("scrub").out
    assert "1 damaged, 1 repaired" in line.ok("scrub", "--repair-from", str(target)).out
    line.ok("down")

    line.ok("restore", str(target), "--data-dir", str(elsewhere))
    assert line.run("up", "--data-dir", str(elsewhere), "--port", "0", "--detach").code == 0
    try:
        with datamill.Client(address(elsewhere)) as client:
            for id, (path, data) in before.items():
                assert client.get(f"source@{id}:{path}") == data, id
            newest = list(before)[-1]
            client.wait_commit(f"count@{newest}")
            if not client.inspect_commit("source@master").HasField("finishing"):
                client.finish_commit("source@master")  # the writer had begun it when the backup was taken
            with client.commit("source@master") as commit:
                commit.put("/new", b"12345")
            client.wait_commit(f"count@{commit.id}")
            assert client.get(f"count@{commit.id}:/new").strip() == b"5"
            path, data = before[newest]
            assert client.get(f"count@{commit.id}:{path}").strip() == b"%d" % len(data)
    finally:
        line.run("down", "--data-dir", str(elsewhere))

    hit = damaged(target / "objects/jobs/jobs/records")
    lost = next((target / "objects/jobs/jobs/index").glob("*/*"))
    lost.unlink()
    refused = line.run("restore", str(target), "--data-dir", str(tmp_path / "never"))
    assert refused.code == 1
    for bad in (hit, lost):
        assert f"{bad.parent.parent.name}/{bad.parent.name}/{bad.name}" in refused.err
    assert not any((tmp_path / "never").iterdir()), "nothing is left that could be started"


def test_a_restore_that_was_killed_is_no_instance_and_is_made_anew(line: CommandLine, tmp_path: Path) -> None:
    target, new = tmp_path / "backup", tmp_path / "new"
    line.ok("create", "repo", "source")
    line.ok("put", "file", "source@master:/a", "-f", "-", stdin="some words")
    line.ok("backup", str(target))
    line.ok("down")
    cut = subprocess.Popen(command("restore", str(target), "--data-dir", str(new)), env=line.environment())
    eventually((new / "restoring").exists, "a restore that has begun")
    cut.kill()
    assert cut.wait() < 0
    refused = line.run("up", "--data-dir", str(new), "--port", "0", "--detach")
    assert (refused.code, "holds a restore that did not end" in refused.err) == (1, True)
    line.ok("restore", str(target), "--data-dir", str(new))
    assert line.run("up", "--data-dir", str(new), "--port", "0", "--detach").code == 0
    try:
        with datamill.Client(address(new)) as client:
            assert client.get("source@master:/a") == b"some words"
    finally:
        line.run("down", "--data-dir", str(new))


def damaged(folder: Path, there: Path | None = None) -> Path:
    """Change a byte in the middle of some object, one that another folder has, too."""
    found = (path for path in folder.glob("*/*") if path.is_file())
    path = next(path for path in found if there is None or (there / path.parent.name / path.name).exists())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def test_what_cannot_be_backed_up_or_restored_is_told(line: CommandLine, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    line.ok("create", "repo", "source")
    line.ok("put", "file", "source@master:/a", "-f", "-", stdin="some words")
    line.ok("backup", str(target))
    taken = line.run("restore", str(target))
    assert taken.code == 1
    assert "is not empty" in taken.err
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("mine")
    refused = line.run("backup", str(other))
    assert refused.code == 1
    assert "holds other things than a backup" in refused.err
    nothing = line.run("restore", str(other), "--data-dir", str(tmp_path / "new"))
    assert "holds no complete backup" in nothing.err
    (pack,) = [path for path in (target / "objects/pfs/packs").glob("*/*") if path.is_file()]
    pack.write_bytes(pack.read_bytes().replace(b"some", b"same"))
    damaged = line.run("restore", str(target), "--data-dir", str(tmp_path / "new"))
    assert damaged.code == 1
    assert f"packs/{pack.name[:2]}/{pack.name}" in damaged.err
