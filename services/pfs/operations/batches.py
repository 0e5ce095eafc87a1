"""Long answers: an iterator that blocks is read on a thread, a batch at a time, so that the event loop never waits."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
FIRST, MOST = 32, 2048  # short at first, so that the first answer comes soon
GROWTH = 8


async def batches(start: Callable[[], Iterator[T]], most: int = MOST) -> AsyncGenerator[list[T], None]:
    """Batches of what `start()` gives; both run on threads."""
    size = min(FIRST, most)
    found, batch = await asyncio.to_thread(_begun, start, size)
    while batch:
        yield batch
        if len(batch) < size:
            return
        size = min(GROWTH * size, most)
        batch = await asyncio.to_thread(_some, found, size)


async def gathered(
    start: Callable[[], Iterator[T]], weigh: Callable[[T], int], most: int = MOST
) -> AsyncGenerator[list[T], None]:
    """The same for what stands for several answers, each for `weigh` of them: batches of about so many answers."""
    size = min(FIRST, most)
    found, batch, more = await asyncio.to_thread(_begun_whole, start, weigh, size)
    while batch:
        yield batch
        if not more:
            return
        size = min(GROWTH * size, most)
        batch, more = await asyncio.to_thread(_whole, found, weigh, size)


def _begun(start: Callable[[], Iterator[T]], size: int) -> tuple[Iterator[T], list[T]]:
    found = start()
    return found, _some(found, size)


def _begun_whole(
    start: Callable[[], Iterator[T]], weigh: Callable[[T], int], size: int
) -> tuple[Iterator[T], list[T], bool]:
    found = start()
    return found, *_whole(found, weigh, size)


def _whole(found: Iterator[T], weigh: Callable[[T], int], size: int) -> tuple[list[T], bool]:
    """A batch, and whether there may be more."""
    batch, weight = list[T](), 0
    for one in found:
        batch.append(one)
        weight += weigh(one)
        if weight >= size:
            return batch, True
    return batch, False


def _some(found: Iterator[T], size: int) -> list[T]:
    return list(islice(found, size))
