"""What reads and writes of files need to reach content: the three stores over one object store."""

from collections.abc import Callable
from dataclasses import dataclass

from services.kit.objects.port import Objects
from services.kit.time.clock import fresh_name
from services.pfs.storage.collection.moves import Moves
from services.pfs.storage.content.layers import LayerStore
from services.pfs.storage.content.packs import ContentStore, PackWriter
from services.pfs.storage.content.trees import TreeStore


@dataclass(frozen=True)
class Stores:
    """Content, trees and layers. Make it with `Stores.over`."""

    objects: Objects
    content: ContentStore
    trees: TreeStore
    layers: LayerStore
    name: Callable[[], bytes]
    """Gives a new pack its name, which nobody collects as long as the session lives."""
    session: str
    """Said when what was written is to count."""

    @classmethod
    def over(
        cls, objects: Objects, *, moves: Moves | None = None, name: Callable[[], bytes] = fresh_name, session: str = ""
    ) -> "Stores":
        trees = TreeStore(objects, name, moves)
        content = ContentStore(objects, moves)
        return cls(objects, content, trees, LayerStore(objects, trees, name), name, session)

    def writer(self) -> PackWriter:
        return PackWriter(self.objects, self.name)
