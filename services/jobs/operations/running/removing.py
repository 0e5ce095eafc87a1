"""What a job takes away from its commits before anything is put on them: outputs of datums that are gone or run again.

Rows of such datums stay in memory in 92 bytes each; what they wrote is read and sent on some at a time.
Elsewhere: which datums these are (planning/drafts.py).
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import islice

from services.jobs.domain.records import read_record
from services.jobs.peers.pfs import CommitRef, Pfs
from services.jobs.storage.objects import Indexes
from services.kit.sortedmap.rows import Place, Row

_ROW = struct.Struct(">32s32s16sQI")
AT_ONCE = 1_000
A_FEW = 100
"""Files that are deleted one by one: a file set of removals costs a call more."""


class Removals:
    """Rows of the base, by ascending id, with the places of their records."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def __len__(self) -> int:
        return len(self._rows) // _ROW.size

    def add(self, row: Row) -> None:
        assert row.place is not None
        self._rows += _ROW.pack(row.key, row.digest, *row.place[:3])

    def __iter__(self) -> Iterator[Row]:
        for at in range(0, len(self._rows), _ROW.size):
            key, digest, pack, offset, stored = _ROW.unpack_from(self._rows, at)
            yield Row(key, 0, 0, digest, Place(pack, offset, stored))


Keep = Callable[[], Awaitable[None]]
"""Asked before each call that changes a commit: what was gathered for it may have taken long. Raises Superseded."""


async def take_away(
    pfs: Pfs, indexes: Indexes, commits: tuple[CommitRef, CommitRef], unknown: bool, removed: Removals, keep: Keep
) -> None:
    """Take away from a job's commits what datums wrote that are gone or run again.

    unknown: whether nobody vouches for what they have from the commits before them; the two need not be of one job.
    """
    if unknown:
        for ref in commits:
            await remove_everything(pfs, ref, keep)
    if removed:
        await remove_outputs(pfs, indexes, *commits, removed, keep)


async def remove_outputs(
    pfs: Pfs, indexes: Indexes, output: CommitRef, meta: CommitRef, removed: Removals, keep: Keep
) -> None:
    """Take away exactly what these datums have written."""

    rows = iter(removed)

    def some() -> list[tuple[str, str]]:
        found = islice(rows, AT_ONCE)
        return [(path, row.key.hex()) for row in found for path in read_record(indexes.record(row)).outputs]

    first = await asyncio.to_thread(some)

    async def entries() -> AsyncIterator[tuple[str, str]]:
        for entry in first:
            yield entry
        for _ in range(AT_ONCE, len(removed), AT_ONCE):
            for entry in await asyncio.to_thread(some):
                yield entry

    async def from_output() -> None:
        if len(removed) <= A_FEW and len(first) <= A_FEW:
            if first:
                await pfs.delete(output, first)
        else:
            files = await pfs.removal(entries())
            await keep()
            await pfs.add_file_set(output, files)

    ids = (row.key.hex() for row in removed)
    below = ((f"/{top}/{id}/", id) for id in ids for top in ("meta", "pfs"))
    await keep()
    async with asyncio.TaskGroup() as group:
        group.create_task(from_output())
        group.create_task(pfs.delete(meta, below))


async def remove_everything(pfs: Pfs, ref: CommitRef, keep: Keep) -> None:
    """Take away all that a commit has from those before it: the files of the nearest good one."""
    above = (await pfs.commit(ref)).parent
    while above is not None and (facts := await pfs.commit(above)).error:
        above = facts.parent
    if above is None:
        return
    entries = pfs.entries(above)
    first = await anext(entries, None)
    if first is not None:
        files = await pfs.removal(_with(first, entries))
        await keep()
        await pfs.add_file_set(ref, files)


async def _with(first: tuple[str, str], others: AsyncIterator[tuple[str, str]]) -> AsyncIterator[tuple[str, str]]:
    yield first
    async for other in others:
        yield other
