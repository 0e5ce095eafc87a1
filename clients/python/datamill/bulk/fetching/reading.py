"""Extents read from packs in the order asked, by ranges from signed URLs.

Over the network a request is dear: neighbours in a pack are read together over small gaps, and several requests are
under way ahead of the one that is wanted next. Needs the package blake3. Elsewhere: packs in a folder (copying.py).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from blake3 import blake3

from datamill.bulk.signed import NotGiven, Signed
from datamill.errors import Corrupt
from datamill.wire import content_v1_pb2 as content

PLAIN = 0  # the codec of bytes as they are
GAP_BYTES = 256 << 10
SPAN_BYTES = 4 << 20
SPAN_PARTS = 2000
AHEAD = 8  # spans

Of = TypeVar("Of")
"""What a part belongs to."""
Part = tuple[Of, content.Extent | None]
"""A run of bytes, or (None) nothing: where a file begins."""
Read = tuple[Of, bytes | None]
Check = Callable[[bytes, content.Extent], bytes]
"""Makes content of stored bytes, held against their hash. Raises what it likes."""


class NotPlain(Exception):
    """Something is stored so that only the service can read it, or lies where only the service can reach it."""


class FromUrls:
    """Reads ahead on threads of its own."""

    def __init__(self, signed: Signed, urls: dict[bytes, str] | None = None, check: Check | None = None) -> None:
        self._signed, self._check = signed, check or checked
        self._urls = {} if urls is None else urls
        self._threads = ThreadPoolExecutor(AHEAD, thread_name_prefix="read")

    def learn(self, packs: Iterable[content.PackUrl]) -> None:
        """Where packs are to be read."""
        self._urls.update({pack.pack_id: pack.url for pack in packs})

    def read(self, parts: Iterable[Part[Of]]) -> Iterator[Read[Of]]:
        """The bytes of each part. Raises NotPlain, Corrupt."""
        under_way: deque[Future[list[Read[Of]]]] = deque()
        for span in spans(parts):
            under_way.append(self._threads.submit(self._span, span))
            if len(under_way) > AHEAD:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def _span(self, span: list[Part[Of]]) -> list[Read[Of]]:
        extents = [extent for _, extent in span if extent is not None]
        if not extents:
            return [(of, None) for of, _ in span]
        first, last = extents[0], extents[-1]
        url = self._urls.get(first.pack_id)
        if url is None:
            raise NotPlain
        begin = first.offset_bytes
        try:
            data = self._signed.get(url, begin, last.offset_bytes + last.stored_bytes - begin)
        except NotGiven as error:
            raise NotPlain from error
        return [(of, None if one is None else self._check(_within(data, one, begin), one)) for of, one in span]


def spans(parts: Iterable[Part[Of]]) -> Iterator[list[Part[Of]]]:
    """Runs of parts that one request can bring."""
    span: list[Part[Of]] = []
    first: content.Extent | None = None
    end = 0
    for part in parts:
        extent = part[1]
        full = len(span) >= SPAN_PARTS
        if extent is not None and first is not None:
            joins = extent.pack_id == first.pack_id and 0 <= extent.offset_bytes - end <= GAP_BYTES
            full |= not joins or extent.offset_bytes + extent.stored_bytes - first.offset_bytes > SPAN_BYTES
        if full:
            yield span
            span, first = [], None
        span.append(part)
        if extent is not None:
            first = first or extent
            end = extent.offset_bytes + extent.stored_bytes
    if span:
        yield span


def checked(data: bytes, extent: content.Extent) -> bytes:
    """The bytes, held against their hash. Raises NotPlain, Corrupt."""
    if extent.codec != PLAIN:
        raise NotPlain
    if len(data) != extent.size_bytes or blake3(data).digest() != extent.digest:
        raise Corrupt(f"pack {extent.pack_id.hex()} does not hold what it should at byte {extent.offset_bytes}")
    return data


def _within(data: bytes, extent: content.Extent, begin: int) -> bytes:
    at = extent.offset_bytes - begin
    return data[at : at + extent.stored_bytes]
