"""Reading small things beforehand, several at once, while their order is kept; memory is bounded."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from services.kit.urls.port import Item

SMALL_BYTES = 1 << 20
USUAL, MOST = 50, 1000  # how many callers may ask for
AT_A_TIME = 16  # how many they get: each holds up to SMALL_BYTES, twice over while others are waited for


def ahead(items: Iterable[Item], concurrency: int = 0) -> Iterator[tuple[Item, Iterator[bytes]]]:
    """Each item with its bytes, in order. What is big, or of unknown size, is read when its turn comes."""
    workers = min(concurrency or USUAL, MOST, AT_A_TIME)
    waiting: deque[tuple[Item, Future[list[bytes]] | None]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="ahead") as pool:

        def begun(item: Item) -> tuple[Item, Future[list[bytes]] | None]:
            small = item.size is not None and item.size <= SMALL_BYTES
            return item, pool.submit(lambda: list(item.read())) if small else None

        try:
            for item in items:
                waiting.append(begun(item))
                if len(waiting) >= 2 * workers:
                    yield _taken(*waiting.popleft())
            while waiting:
                yield _taken(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _taken(item: Item, running: Future[list[bytes]] | None) -> tuple[Item, Iterator[bytes]]:
    return item, item.read() if running is None else iter(running.result())
