"""The ports of the map: where ranges are read from, and where new ones go."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Protocol

from services.kit.sortedmap.encoding.codec import Chunk, base_of, decode
from services.kit.sortedmap.rows import Place
from services.kit.time.clock import fresh_name

PACK_BYTES = 16 << 20
DECODED_BYTES = 64 << 20


ReadMany = Callable[[Sequence[Place]], list[bytes]]
"""Reads the stored bytes at several places side by side."""


class RangeSource(Protocol):
    """Reads stored ranges."""

    def read(self, place: Place) -> bytes:
        """The `place.stored` bytes at `place`. Raises what the store raises."""
        ...


class PackSink:
    """Collects new ranges, children before parents, into index packs of at most 16 MiB.

    store: called with a pack's name and bytes, once for each pack; must be durable when it returns.
    name: gives each pack its name, once there is something to put into it.
    """

    def __init__(self, store: Callable[[bytes, bytes], None], name: Callable[[], bytes] = fresh_name) -> None:
        self._store, self._name = store, name
        self._pack = b""
        self._parts: list[bytes] = []
        self._length = 0
        self.packs: list[bytes] = []
        self.sizes: list[int] = []
        """Bytes of each of the packs."""
        self.written_bytes = 0
        self.written_ranges = 0

    def add(self, data: bytes) -> Place:
        """Take one stored range; it can be read once its pack is stored."""
        if self._length and self._length + len(data) > PACK_BYTES:
            self.flush()
        if not self._parts:
            self._pack = self._name()
        place = Place(self._pack, self._length, len(data))
        self._parts.append(data)
        self._length += len(data)
        self.written_bytes += len(data)
        self.written_ranges += 1
        return place

    def flush(self) -> None:
        """Store what has been collected. Call it once after the last range."""
        if self._parts:
            self._store(self._pack, b"".join(self._parts))
            self.packs.append(self._pack)
            self.sizes.append(self._length)
            self._parts, self._length = [], 0


class NotAtHand(LookupError):
    """A range would have to be read from the source."""


class Reader:
    """Decoded ranges of a source, kept least-recently-used up to a number of bytes. Safe for several threads.

    many: given for a source that is far away, where waiting for one answer after another would take most of the time.
    """

    def __init__(self, source: RangeSource, *, limit_bytes: int = DECODED_BYTES, many: ReadMany | None = None) -> None:
        self._source, self._many = source, many
        self._limit = limit_bytes
        self._kept: OrderedDict[tuple[bytes, Place], tuple[Chunk, int]] = OrderedDict()
        self._kept_bytes = 0
        self._lock = Lock()
        self.opened = 0
        """How many ranges were asked for, cached or not (for tests and metrics)."""
        self.fetched = 0
        """How many had to be read from the source."""

    @property
    def at_hand(self) -> "Reader":
        """Reads only what is kept, and so never blocks; whatever else is asked for raises NotAtHand."""
        return _AtHand(self)

    def chunk(self, id: bytes, place: Place) -> Chunk:
        """The range or node called `id` at `place`. Raises CorruptRange when the bytes there are something else."""
        # Two writings of one id may build on different bases, so the place is part of the key.
        found = self._found(id, place)
        if found is not None:
            return found
        chunk = decode(self._source.read(place), id, place, base=self.chunk)
        with self._lock:
            self.fetched += 1
        self.keep(id, place, chunk)
        return chunk

    def _found(self, id: bytes, place: Place) -> Chunk | None:
        key = id, place
        with self._lock:
            self.opened += 1
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    @property
    def is_far(self) -> bool:
        """Whether it pays to `bring` what is soon asked for."""
        return self._many is not None

    def bring(self, wanted: Iterable[tuple[bytes, Place]]) -> None:
        """Read those of these ranges and nodes side by side that are not kept, if the source is far.

        Two rounds at most: bases of delta ranges come in the second. The caller sees to it that all of them fit into
        what is kept. Raises what `chunk` raises.
        """
        if self._many is None:
            return
        missing = self._missing(wanted)
        if len(missing) < 2:  # read when asked for
            return
        stored = self._many([place for _, place in missing])
        self.bring(base for base in map(base_of, stored) if base is not None)
        for (id, place), data in zip(missing, stored, strict=True):
            self.keep(id, place, decode(data, id, place, base=self.chunk))
        with self._lock:
            self.fetched += len(missing)

    def _missing(self, wanted: Iterable[tuple[bytes, Place]]) -> list[tuple[bytes, Place]]:
        """Those that are not kept, each once; those that are will not go before long."""
        missing = dict[tuple[bytes, Place], None]()
        with self._lock:
            for key in wanted:
                if key in self._kept:
                    self._kept.move_to_end(key)
                else:
                    missing[key] = None
        return list(missing)

    def keep(self, id: bytes, place: Place, chunk: Chunk) -> None:
        """Remember a range or node that the caller holds decoded: one it has just made is soon asked for."""
        key, weight = (id, place), chunk.weight
        with self._lock:
            if key not in self._kept:
                self._kept[key] = chunk, weight
                self._kept_bytes += weight
            while self._kept_bytes > self._limit and len(self._kept) > 1:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._kept_bytes -= dropped


class _AtHand(Reader):
    def __init__(self, whole: Reader) -> None:
        self._whole, self._many = whole, None

    def chunk(self, id: bytes, place: Place) -> Chunk:
        found = self._whole._found(id, place)
        if found is None:
            raise NotAtHand
        return found
