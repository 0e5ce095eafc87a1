"""Records in the order of their times, forwards or backwards, a page at a time or as they come.

Lines come from several workers at once and nearly in the order of time: a line waits for WINDOW for an earlier one, but
nobody who follows is made to wait: the next line may be long in coming.
A page holds no more than it shows: the whole range is looked through for it.
"""

import heapq
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from services.jobs.domain.logs.records import Record

WINDOW = 2_000_000_000
HELD = 20_000
PAGE = 100_000


@dataclass(frozen=True, slots=True)
class Range:
    """Times in nanoseconds: from `start` on, included, up to `stop`, not included; backwards when stop is less.

    offset: how many of the records of exactly `start` were seen before. limit: 0 for none.
    """

    start: int
    stop: int
    offset: int = 0
    limit: int = 0

    @property
    def backwards(self) -> bool:
        return self.stop < self.start

    def has(self, at: int) -> bool:
        return self.stop < at <= self.start if self.backwards else self.start <= at < self.stop


async def in_order(records: AsyncIterator[Record | None], wanted: Range) -> AsyncIterator[Record]:
    """Forwards, as they come. None among the records: all that was there has come; from then on nothing is held."""
    held, order, seen, skipped, live = list[tuple[int, int, Record]](), 0, 0, 0, False
    async for record in records:
        ready = list[Record]()
        if record is None:
            live = True
        elif wanted.has(record.at):
            heapq.heappush(held, (record.at, order, record))
            order, seen = order + 1, max(seen, record.at)
        while held and (live or held[0][0] < seen - WINDOW or len(held) > HELD):
            ready.append(heapq.heappop(held)[2])
        for one in ready:
            if one.at == wanted.start and skipped < wanted.offset:
                skipped += 1
            else:
                yield one


async def page(records: AsyncIterator[Record | None], wanted: Range) -> list[Record]:
    """The first `limit` records of the range, in its direction, up to where what is there now ends."""
    most, sign = wanted.limit + wanted.offset, -1 if wanted.backwards else 1
    kept = list[tuple[tuple[int, int], Record]]()  # a heap whose first is the last of the page
    order = 0
    async for record in records:
        if record is None:
            break
        if not wanted.has(record.at):
            continue
        entry = (-sign * record.at, -sign * order), record
        order += 1
        if len(kept) < most:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)
    found = [record for _, record in sorted(kept, key=lambda entry: entry[0], reverse=True)]
    same = sum(record.at == wanted.start for record in found)
    return found[min(same, wanted.offset) :][: wanted.limit]


def after(wanted: Range, shown: list[Record]) -> Range:
    """What of a range comes after a page of it."""
    if not shown:
        return wanted
    last = shown[-1].at
    same = sum(record.at == last for record in shown)
    return replace(wanted, start=last, offset=same + (wanted.offset if last == wanted.start else 0))


def before(wanted: Range, shown: list[Record], same: int) -> Range:
    """What comes before a page, in the other direction. same: how many records there are of its first one's time."""
    first = shown[0].at if shown else wanted.start
    offset = same - (wanted.offset if first == wanted.start else 0)
    return Range(first, END if wanted.backwards else BEGIN, max(offset, 0), wanted.limit)


BEGIN, END = -1, (1 << 63) - 1
