"""Many small ranges of a store that is far away, read side by side: neighbours by one request, some requests at once.

Memory: what was asked for, and at most CONNECTIONS requests of SPAN_BYTES under way in a process.
Elsewhere: ranges read one after another (blocks.py).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from services.kit.objects.port import Objects

CONNECTIONS = 16
GAP_BYTES = 128 << 10  # a smaller hole between two ranges is read along
SPAN_BYTES = 1 << 20  # at most so much with one request, unless one range is longer
_READING = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="ranges")  # started when first used

Wanted = tuple[str, int, int]
"""A key, where a range begins in the object, and its length."""


@dataclass
class Request:
    """Part of an object that one request brings. wanted: the numbers of the ranges in it."""

    key: str
    begin: int
    end: int
    wanted: list[int] = field(default_factory=list)


def read_together(objects: Objects, wanted: Sequence[Wanted]) -> list[bytes]:
    """The bytes of each range. Raises what the store raises."""
    found = [b""] * len(wanted)

    def read(request: Request) -> None:
        data = memoryview(objects.get_range(request.key, request.begin, request.end - request.begin))
        for number in request.wanted:
            _, offset, length = wanted[number]
            found[number] = bytes(data[offset - request.begin : offset - request.begin + length])

    asked = requests(wanted)
    if len(asked) == 1:
        read(asked[0])
    else:
        for done in [_READING.submit(read, request) for request in asked]:
            done.result()
    return found


def requests(wanted: Sequence[Wanted]) -> list[Request]:
    """What to ask for, so that every range is brought."""
    found = list[Request]()
    for number in sorted(range(len(wanted)), key=lambda number: wanted[number][:2]):
        key, offset, length = wanted[number]
        end, last = offset + length, found[-1] if found else None
        near = last is not None and last.key == key and offset - last.end < GAP_BYTES
        if last is None or not near or end - last.begin > SPAN_BYTES:
            found.append(last := Request(key, offset, end))
        last.end = max(last.end, end)
        last.wanted.append(number)
    return found
