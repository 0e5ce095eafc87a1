"""Long answers by batches: all of it, in order, with an end; what is read ahead does not outlive whoever reads."""

import threading
from collections.abc import Iterator

import pytest

from services.pfs.operations.batches import FIRST, MOST, gathered


@pytest.mark.parametrize("count", [0, 1, FIRST - 1, FIRST, FIRST + 1, 10 * FIRST, 3 * MOST + 5])
async def test_everything_comes_once_and_in_order(count: int) -> None:
    found = [batch async for batch in gathered(lambda: iter(range(count)), lambda _: 1, list)]
    assert [one for batch in found for one in batch] == list(range(count))
    assert all(len(batch) <= MOST for batch in found)


async def test_heavy_ones_fill_a_batch_alone() -> None:
    found = [batch async for batch in gathered(lambda: iter(range(5)), lambda _: 2 * MOST, list)]
    assert [batch for batch in found if batch] == [[0], [1], [2], [3], [4]]


async def test_a_failure_comes_after_what_came_before_it() -> None:
    def numbers() -> Iterator[int]:
        yield from range(FIRST)
        raise ValueError("broken")

    batches = gathered(numbers, lambda _: 1, list)
    assert await anext(batches) == list(range(FIRST))
    with pytest.raises(ValueError, match="broken"):
        await anext(batches)


async def test_closing_waits_for_the_batch_that_is_being_made() -> None:
    entered, go_on = threading.Event(), threading.Event()
    ended = list[int]()

    def numbers() -> Iterator[int]:
        yield from range(FIRST)
        entered.set()
        go_on.wait(60)
        ended.append(1)

    batches = gathered(numbers, lambda _: 1, list)
    await anext(batches)
    assert entered.wait(60)
    threading.Timer(0.05, go_on.set).start()
    await batches.aclose()
    assert ended == [1]
