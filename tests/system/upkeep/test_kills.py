"""PFS killed at random moments of collections and rewriting, with writers at work: what was acknowledged is there.

An oracle knows what every commit that was acknowledged and not deleted holds. DATAMILL_GC_KILLS says how often.
"""

import hashlib
import io
import os
import random
import signal
import tarfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, cast

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.driver import Repo, delete, put
from tests.system.upkeep.conftest import Alone, pfs_alone

KILLS = int(os.environ.get("DATAMILL_GC_KILLS", "8"))
SEED = int(os.environ.get("DATAMILL_GC_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
Content = dict[str, str]


class Story:
    """One repo, written by one client; `commits` is what must be there."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name, self.chance = name, chance
        self.head: Content = {}
        self.commits: dict[str, Content] = {}
        self.unsure = False  # whether the last request was acknowledged

    def step(self, repo: Repo) -> None:
        """One change: files written and removed in a commit, or a commit squashed."""
        if len(self.commits) > 8:
            self._squash(repo)
        after, changes = dict(self.head), []
        for _ in range(self.chance.randrange(1, 30)):
            path = f"/{self.chance.randrange(200)}"
            if path in after and self.chance.random() < 0.4:
                changes.append(delete(path))
                del after[path]
            else:
                data = self.chance.randbytes(self.chance.choice([0, 100, 5_000, 60_000]))
                changes += [delete(path), put(path, data)]
                after[path] = _digest(data)
        self.unsure = True
        commit = repo.start()
        repo.stream(changes, commit)
        repo.finish(commit)
        self.unsure = False
        self.head, self.commits[commit.id] = after, after

    def _squash(self, repo: Repo) -> None:
        id = self.chance.choice(list(self.commits)[:-1])
        gone = self.commits.pop(id)
        try:
            repo.api.SquashCommit(pfs.SquashCommitRequest(commit=pfs.Commit(repo=repo.wire, id=id), recursive=True))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                self.commits[id] = gone
                raise

    def settle(self, repo: Repo) -> None:
        """After a kill: close what was left open, and take the head as it is when its commit was not acknowledged."""
        infos = list(repo.api.ListCommit(pfs.ListCommitRequest(repo=repo.wire)))
        for info in infos:
            if not info.HasField("finishing"):
                repo.api.FinishCommit(pfs.FinishCommitRequest(commit=info.commit))
            repo.wait(info.commit)
        if self.unsure and infos and infos[0].commit.id not in self.commits:
            self.head = _content(repo, infos[0].commit)
            self.commits[infos[0].commit.id] = self.head
        self.unsure = False

    def check(self, repo: Repo) -> None:
        for id, content in self.commits.items():
            assert _content(repo, pfs.Commit(repo=repo.wire, id=id)) == content, id


def _content(repo: Repo, commit: pfs.Commit) -> Content:
    with tarfile.open(fileobj=io.BytesIO(repo.tar("/", commit))) as files:
        return {
            "/" + member.name.strip("/"): _digest(cast("IO[bytes]", files.extractfile(member)).read())
            for member in files
            if member.isfile()
        }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_nothing_is_lost_when_a_collection_is_killed(tmp_path: Path, nats_url: str) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    stories: list[Story] = []
    rewritten = deleted = 0
    for kill in range(KILLS + 1):
        with pfs_alone(tmp_path, nats_url, GC_GAIN_BYTES="1") as alone:
            if not stories:
                stories = [Story(Repo(alone.channel).name, random.Random(f"{SEED}/{number}")) for number in range(2)]
            repos = [Repo(alone.channel, story.name) for story in stories]
            for story, repo in zip(stories, repos, strict=True):
                story.settle(repo)
                story.check(repo)
            if kill == KILLS:
                report = alone.collect()
                rewritten, deleted = (
                    rewritten + report.rewritten.packs,
                    deleted + report.deleted.packs,
                )
                for story, repo in zip(stories, repos, strict=True):
                    story.check(repo)
                break
            more = _until_killed(alone, stories, repos, after=chance.uniform(0.3, 2.5))
            rewritten, deleted = rewritten + more[0], deleted + more[1]
    assert deleted > 0
    assert not {path.name for path in (tmp_path / "pfs/store/.incoming").iterdir()} or KILLS


def _until_killed(alone: Alone, stories: list[Story], repos: list[Repo], *, after: float) -> tuple[int, int]:
    """Write and collect side by side; kill the process after so many seconds."""
    seen, failures = [0, 0], list[BaseException]()
    dead = threading.Event()

    def guarded(work: "threading.Event", step: Callable[[], None]) -> None:
        try:
            while not work.is_set():
                step()
        except grpc.RpcError as error:
            if error.code() not in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.CANCELLED,
            ):
                failures.append(error)
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            failures.append(error)

    def collect() -> None:
        report = alone.collect()
        seen[0] += report.rewritten.packs
        seen[1] += report.deleted.packs

    writers = [partial(story.step, repo) for story, repo in zip(stories, repos, strict=True)]
    threads = [threading.Thread(target=guarded, args=(dead, step)) for step in (collect, *writers)]
    for thread in threads:
        thread.start()
    time.sleep(after)
    alone.process.kill(signal.SIGKILL)
    dead.set()
    alone.process.process.wait()
    for thread in threads:
        thread.join(30)
    if failures:
        raise failures[0]
    return seen[0], seen[1]
