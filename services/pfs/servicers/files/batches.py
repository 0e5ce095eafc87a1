"""Long answers: an iterator that blocks is read on a thread, a batch at a time, so that the event loop never waits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
FIRST, MOST = 32, 2048  # short at first, so that the first answer comes soon


async def batches(start: Callable[[], Iterator[T]], most: int = MOST) -> AsyncIterator[list[T]]:
    """Batches of what `start()` gives; both run on threads."""
    found = await asyncio.to_thread(start)
    size = min(FIRST, most)
    while batch := await asyncio.to_thread(_some, found, size):
        yield batch
        size = min(4 * size, most)


def _some(found: Iterator[T], size: int) -> list[T]:
    return list(islice(found, size))
