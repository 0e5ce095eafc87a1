"""Trees of many files by entries alone: the files share a few thousand small contents, which are stored once.

Folders of 1,000 files; entries come in the order of paths, as an import of a folder sends them.
Elsewhere: the changes that are measured (changing.py).
"""

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.goals.places import Place
from datamill.bulk.sending.stating import Batch, plain
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.packs import PackBuilder

CONTENTS = 5000
ENTRIES_A_MESSAGE = 8000
FILES_A_FOLDER = 1000


def path_of(number: int) -> str:
    return f"/class_{number // FILES_A_FOLDER:05d}/IMG_{number:08d}.jpg"


@dataclass(frozen=True)
class Contents:
    """What files hold, by number."""

    all: list[content.Content]

    def entry(self, number: int, turn: int = 0) -> content.Entry:
        """A file of the tree; another turn has other contents."""
        return content.Entry(path=path_of(number), content=self.all[(number * 7919 + turn) % CONTENTS])


def contents(at: Place) -> Contents:
    """Store them."""
    draw, builder = random.Random(3), PackBuilder()
    blobs = [builder.add(draw.randbytes(100 + draw.randrange(900))) for _ in range(CONTENTS)]
    pack, data = at.content.StartPack(content.StartPackRequest()).pack_id, builder.finish()
    at.content.PutPack(iter([content.PutPackRequest(pack_id=pack, data=data)]))
    at.content.SealPack(content.SealPackRequest(pack_id=pack))
    return Contents(
        [
            content.Content(
                size_bytes=blob.stored_bytes,
                digest=blob.digest,
                extents=[
                    content.Extent(
                        pack_id=pack, offset_bytes=blob.offset, stored_bytes=blob.stored_bytes,
                        size_bytes=blob.stored_bytes, digest=blob.digest,
                    )
                ],
            )
            for blob in blobs
        ]
    )  # fmt: skip


@dataclass(frozen=True)
class Filling:
    """How long a tree took: until all entries were taken, and until its commit was FINISHED."""

    put_seconds: float
    finish_seconds: float
    processor_seconds: float
    """Of PFS; the clock also runs for whoever makes the entries."""
    peak_bytes: int
    index_bytes: int


def fill(at: Place, known: Contents, name: str, files: int) -> Filling:
    """A repo whose first commit has so many files."""
    at.repo(name)
    at.forget_peak()
    before, used = at.stored("index"), at.processor_seconds
    begun = time.perf_counter()
    made = at.content.PutEntries(_messages(known, files))
    put = time.perf_counter()
    commit = at.start(name)
    at.pfs.AddFileSet(pfs.AddFileSetRequest(commit=commit, file_set_id=made.file_set_id))
    at.finish(commit)
    end = time.perf_counter()
    used = at.processor_seconds - used
    return Filling(put - begun, end - put, used, at.peak_bytes, at.stored("index") - before)


def _messages(known: Contents, files: int) -> Iterator[content.PutEntriesRequest]:
    blobs = [plain(one) for one in known.all]
    for start in range(0, files, ENTRIES_A_MESSAGE):
        batch = Batch()
        for number in range(start, min(files, start + ENTRIES_A_MESSAGE)):
            batch.add(path_of(number), blobs[(number * 7919) % CONTENTS])
        yield batch.request()


def scattered(known: Contents, files: int, many: int, turn: int) -> list[content.Entry]:
    """Changes all over the tree: of ten eight are other contents, one is a new file, one goes away."""
    draw = random.Random(many * 1000 + turn)
    changes = []
    for place, number in enumerate(draw.sample(range(files), many)):
        entry = known.entry(number, turn + 1)
        if many > 1 and place % 10 == 8:
            entry.path += ".new"
        elif many > 1 and place % 10 == 9:
            entry = content.Entry(path=entry.path, removed=True)
        changes.append(entry)
    return changes


def in_messages(entries: Iterable[content.Entry]) -> Iterator[content.PutEntriesRequest]:
    waiting = list(entries)
    for start in range(0, len(waiting), ENTRIES_A_MESSAGE):
        yield content.PutEntriesRequest(entries=waiting[start : start + ENTRIES_A_MESSAGE])
