"""What reads and writes of files need to reach content: the three stores over one object store."""

from dataclasses import dataclass

from services.kit.objects.port import Objects
from services.pfs.storage.layers import LayerStore
from services.pfs.storage.packs import ContentStore, PackWriter
from services.pfs.storage.trees import TreeStore


@dataclass(frozen=True)
class Stores:
    """Content, trees and layers. Make it with `Stores.over`."""

    objects: Objects
    content: ContentStore
    trees: TreeStore
    layers: LayerStore

    @classmethod
    def over(cls, objects: Objects) -> "Stores":
        trees = TreeStore(objects)
        return cls(objects, ContentStore(objects), trees, LayerStore(objects, trees))

    def writer(self) -> PackWriter:
        return PackWriter(self.objects)
