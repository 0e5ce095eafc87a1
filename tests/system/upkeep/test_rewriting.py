"""Packs of trees that are mostly garbage are rewritten; every state that a pack is in on the way ends by itself."""

import io
import shutil
import tarfile
from pathlib import Path

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.driver import Repo, delete, put
from tests.system.upkeep.conftest import Alone, pfs_alone
from tests.system.upkeep.test_scrub import flip, scrubbed

FILES, LEFT = 6000, 900


def squash(repo: Repo, commit: pfs.Commit) -> None:
    repo.api.SquashCommit(pfs.SquashCommitRequest(commit=commit, recursive=True))


def test_a_rewritten_tree_is_read_changed_scrubbed_and_goes(tmp_path: Path, nats_url: str) -> None:
    with pfs_alone(tmp_path, nats_url) as alone:
        repo = Repo(alone.channel)
        repo.stream(put(f"/d/{number:05}", b"%d" % number) for number in range(FILES))
        first = repo.wait()
        repo.stream(delete(f"/d/{number:05}") for number in range(LEFT, FILES))
        second = repo.wait()
        squash(repo, first.commit)
        assert size_of_trees(alone) > 200_000
        would = alone.collect(dry_run=True).rewritten
        assert would == alone.collect().rewritten
        assert would.packs == 2, "of contents and of trees"
        assert alone.states() == {("content", "live"), ("content", "moving"), ("index", "live"), ("index", "moving")}
        wanted = {f"/d/{number:05}": b"%d" % number for number in range(LEFT)}
        assert read(repo, second.commit) == wanted
        alone.collect()
        assert alone.states() == {("content", "live"), ("content", "moved"), ("index", "live"), ("index", "moved")}
        assert size_of_trees(alone) < 100_000
        assert read(repo, second.commit) == wanted
    with pfs_alone(tmp_path, nats_url) as alone:  # one that has nothing in memory
        repo = Repo(alone.channel, repo.name)
        assert read(repo, second.commit) == wanted
        repo.modify(put("/d/new", b"more"), delete("/d/00000"))
        third = repo.wait()
        packs, _, report = scrubbed(alone)
        assert (packs, report.damaged) == ([], 0)
        repaired(alone, tmp_path / "copy")
        squash(repo, second.commit)
        del wanted["/d/00000"]
        assert read(repo, third.commit) == wanted | {"/d/new": b"more"}
        repo.api.DeleteRepo(pfs.DeleteRepoRequest(repo=repo.wire))
        alone.collect()
        alone.collect()
        assert alone.states() == set()
        assert (alone.packs(), alone.packs("index")) == (set(), set())


def path_of(alone: Alone, name: str) -> Path:
    return alone.store / f"index/{name[:2]}/{name}"


def size_of_trees(alone: Alone) -> int:
    return sum(path_of(alone, name).stat().st_size for name in alone.packs("index"))


def repaired(alone: Alone, copy: Path) -> None:
    """Damage every pack of trees, its directory too, and take them from a copy."""
    shutil.copytree(alone.store, copy)
    for name in alone.packs("index"):
        path = path_of(alone, name)
        flip(path, 40)
        flip(path, path.stat().st_size - 60)
    assert scrubbed(alone)[2].damaged > 0
    _, files, report = scrubbed(alone, repair_from=copy.as_uri())
    assert (files, report.repaired) == (set(), report.damaged)
    assert scrubbed(alone)[2].damaged == 0


def read(repo: Repo, commit: pfs.Commit) -> dict[str, bytes]:
    """What a commit holds."""
    with tarfile.open(fileobj=io.BytesIO(repo.tar("/", commit))) as files:
        found = {"/" + member.name.strip("/"): files.extractfile(member) for member in files if member.isfile()}
        return {path: file.read() for path, file in found.items() if file is not None}
