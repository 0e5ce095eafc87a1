"""A store for maps under test."""

from services.kit.sortedmap.packs import PackSink
from services.kit.sortedmap.rows import Place


class Memory:
    """Packs in memory."""

    def __init__(self) -> None:
        self.packs: dict[bytes, bytes] = {}

    def read(self, place: Place) -> bytes:
        return self.packs[place.pack][place.offset : place.offset + place.stored]

    def sink(self) -> PackSink:
        return PackSink(self.packs.__setitem__)
