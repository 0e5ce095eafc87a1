"""The peer at 100,000 files: git, on a repository of the same tree, made by `git fast-import`."""

import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.goals.filling import path_of
from datamill.wire import content_v1_pb2 as content

FILES = 100_000
AUTHOR = b"committer b <b@example.org> 0 +0000\n"


@dataclass(frozen=True)
class Git:
    """A repository with one commit for the tree and one for each list of changes."""

    folder: Path

    def seconds(self, *words: str) -> float:
        """A command, its output thrown away."""
        begun = time.perf_counter()
        subprocess.run(["git", "-C", str(self.folder), *words], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun


@contextmanager
def git(changes: Iterable[list[content.Entry]]) -> Iterator[Git]:
    with tempfile.TemporaryDirectory(prefix="datamill-bench-") as name:
        subprocess.run(["git", "init", "-q", "-b", "main", name], check=True)
        stream = b"".join(_stream(changes))
        subprocess.run(["git", "-C", name, "fast-import", "--quiet"], input=stream, check=True)
        yield Git(Path(name))


def _stream(changes: Iterable[list[content.Entry]]) -> Iterator[bytes]:
    for mark in (1, 2):
        yield b"blob\nmark :%d\ndata 1\n%d\n" % (mark, mark)
    yield b"commit refs/heads/main\n" + AUTHOR + b"data 0\n"
    for number in range(FILES):
        yield b"M 100644 :1 %s\n" % path_of(number)[1:].encode()
    for some in changes:
        yield b"commit refs/heads/main\n" + AUTHOR + b"data 0\n"
        for entry in some:
            path = entry.path[1:].encode()
            yield b"D %s\n" % path if entry.removed else b"M 100644 :2 %s\n" % path
