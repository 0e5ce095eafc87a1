"""Files that were sent before and are unchanged: what of them the target lacks, and what must be read again after all.

The target is asked about runs of remembered files while this machine's files are looked at, so that what costs is what
differs; only files of runs that differ are asked about one by one. A file that is remembered and gone from here stays
in its run, for it stays in the target, too; it is forgotten once its run differs.
Elsewhere: the memory (memory.py); the questions (questions.py).
"""

import os
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from blake3 import blake3

from datamill.bulk.local import LocalFile
from datamill.bulk.recalling.columns import Known, Table, pack_and_offset
from datamill.bulk.recalling.memory import Chunk, Memory
from datamill.bulk.recalling.questions import Questions
from datamill.bulk.sending.stating import Blob, Entry, Stated, packs_of
from datamill.wire import content_v1_pb2 as content

RUN_FILES = 1000
BATCH = 4096
DATUM = "\0default\0"
_COUNT = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of some unchanged files. same: how many the target holds; size_bytes: of all but `again`."""

    entries: list[Entry]
    again: list[LocalFile]
    same: int
    size_bytes: int


class Recall:
    """For one upload, on one thread. memory None: nothing is known."""

    def __init__(self, questions: Questions, memory: Memory | None, thread: ThreadPoolExecutor) -> None:
        self._questions, self._memory = questions, memory
        self._table = Table() if memory is None else memory.table
        self._here: list[LocalFile | None] = [None] * len(self._table.paths)
        self._chunks: dict[bytes, Chunk] | None = None
        self._order = self._table.in_order()
        self._same: Future[set[int]] | None = None
        if questions.aim.held is not None and self._order:
            self._same = thread.submit(questions.same_runs, list(self._runs()))

    def changed(self, files: Iterable[LocalFile]) -> Iterator[LocalFile]:
        """Those of the files that must be read; the others were sent before and are unchanged."""
        rows, looks, here, stat = self._table.rows, self._table.looks, self._here, os.stat
        for file in files:  # as little as can be for each of what may be millions of files
            row = rows.get(file.path)
            if row is not None:
                found = stat(file.source)
                if (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino) == looks[row]:
                    here[row] = file
                    continue
                here[row] = None  # for who names two files alike
            yield file

    def chunk(self, digest: bytes) -> Chunk | None:
        """Where a chunk of a big file lies already."""
        if self._chunks is None:
            self._chunks = {} if self._memory is None else self._living(self._memory)
        return self._chunks.get(digest)

    def settle(self) -> Iterator[Settled]:
        """All unchanged files, in parts. Call it once, after `changed` has come to its end."""
        same_runs = set[int]() if self._same is None else self._same.result()
        asked: list[int] = []
        gone = set[int]()
        for number, start in enumerate(range(0, len(self._order), RUN_FILES)):
            rows = self._order[start : start + RUN_FILES]
            here = [row for row in rows if self._here[row] is not None]
            if number in same_runs:
                yield Settled([], [], len(here), sum(self._table.looks[row][0] for row in here))
                continue
            asked += here
            gone |= {row for row in rows if self._here[row] is None}
            while len(asked) >= BATCH:
                yield self._compared(asked[:BATCH])
                del asked[:BATCH]
        if asked:
            yield self._compared(asked)
        if self._memory is not None:
            self._memory.tidy(gone)

    def _runs(self) -> Iterator[content.KnownRun]:
        top, between = self._questions.aim.top, f"{DATUM}{self._questions.aim.top}"
        for start in range(0, len(self._order), RUN_FILES):
            rows = self._order[start : start + RUN_FILES]
            paths = [self._table.paths[row] for row in rows]
            named = f"{top}{between.join(paths)}{DATUM}".encode()
            digest = blake3(b"".join((_COUNT.pack(len(rows)), named, *self._table.digests(rows)))).digest()
            yield content.KnownRun(first_path=top + paths[0], last_path=top + paths[-1], digest=digest)

    def _compared(self, rows: list[int]) -> Settled:
        """Of these files what the target lacks."""
        files = [(file, self._table.known(row)) for row in rows if (file := self._here[row]) is not None]
        there = set[int]()
        if self._questions.aim.held is not None:
            there = self._questions.same([(file.path, known.digest) for file, known in files])
        rest = [one for number, one in enumerate(files) if number not in there]
        wholes = [_content_of(known) for _, known in rest]
        named = set[bytes]().union(*map(packs_of, wholes))
        alive = self._questions.alive(named) if named else set[bytes]()
        entries, again = list[Entry](), list[LocalFile]()
        size = sum(known.look.size for _, known in files)
        for (file, known), whole in zip(rest, wholes, strict=True):
            if whole is not None and packs_of(whole) <= alive:
                entries.append((self._questions.aim.top + file.path, whole))
            else:
                again.append(file)
                size -= known.look.size
        return Settled(entries, again, len(there), size)

    def _living(self, memory: Memory) -> dict[bytes, Chunk]:
        """The remembered chunks that may still be named."""
        chunks = memory.chunks()
        packs = {chunk.pack for chunk in chunks.values()}
        dead = packs - self._questions.alive(packs) if packs else packs
        if dead:
            memory.forget(dead)
        return {digest: chunk for digest, chunk in chunks.items() if chunk.pack not in dead}


def _content_of(known: Known) -> Stated:
    """What an entry says of the file; None when only the service knew where it lies."""
    size = known.look.size
    if known.whole:
        whole = content.Content.FromString(known.whole)
        return whole if whole.size_bytes == size else None
    if not size:
        return Blob(0, known.digest)
    pack, offset = pack_and_offset(known.place)
    return Blob(size, known.digest, pack, offset, size) if any(pack) else None
