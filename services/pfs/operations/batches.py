"""Long answers: an iterator that blocks is read on a thread, a batch at a time, so that the event loop never waits."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
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
    start: Callable[[], Iterator[T]], weigh: Callable[[T], int], make: Callable[[list[T]], R]
) -> AsyncGenerator[R, None]:
    """The same for what stands for several answers, each for `weigh` of them: what `make` makes of about so many.

    The next is made while one is sent.
    """
    loop, size = asyncio.get_running_loop(), FIRST
    found, made, more = await asyncio.to_thread(_begun_whole, start, weigh, make, size)
    while more:
        size = min(GROWTH * size, MOST)
        coming = loop.run_in_executor(None, _whole, found, weigh, make, size)
        try:
            yield made
        except BaseException:  # nobody wants more: what is read must not outlive the call
            with suppress(Exception):
                await coming
            raise
        made, more = await coming
    yield made


def _begun(start: Callable[[], Iterator[T]], size: int) -> tuple[Iterator[T], list[T]]:
    found = start()
    return found, _some(found, size)


def _begun_whole(
    start: Callable[[], Iterator[T]], weigh: Callable[[T], int], make: Callable[[list[T]], R], size: int
) -> tuple[Iterator[T], R, bool]:
    found = start()
    return found, *_whole(found, weigh, make, size)


def _whole(found: Iterator[T], weigh: Callable[[T], int], make: Callable[[list[T]], R], size: int) -> tuple[R, bool]:
    """A batch, and whether there may be more."""
    batch, weight = list[T](), 0
    for one in found:
        batch.append(one)
        weight += weigh(one)
        if weight >= size:
            return make(batch), True
    return make(batch), False


def _some(found: Iterator[T], size: int) -> list[T]:
    return list(islice(found, size))
