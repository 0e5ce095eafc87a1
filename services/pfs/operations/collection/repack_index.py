"""Index packs of which less than half is referred to: ranges that are go into a new pack, and a row says where.

Trees keep naming the old pack, so that no commit changes; readers look for the range in the new one's directory.
Elsewhere: content packs, and the transaction that moves either (repack.py); reading (storage/content/ranges.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from services.kit.sortedmap.rows import Place
from services.pfs.operations.collection.collect import Pack
from services.pfs.operations.collection.marking import Marks
from services.pfs.operations.collection.repack import WORTH_IT, Moved, Sparse, groups
from services.pfs.operations.files.stores import Stores
from services.pfs.storage.content.content_tables import INDEX
from services.pfs.storage.content.ranges import index_key, rewritten


def sparse(packs: Iterable[Pack], marks: Marks, *, gain_bytes: int) -> Iterator[Sparse]:
    """Those worth rewriting. gain_bytes: at least; a move is remembered as long as a tree names the pack."""
    for pack in packs:
        if pack.kind != INDEX or pack.name not in marks.index:
            continue
        live, size = marks.index[pack.name], pack.blobs
        if live < WORTH_IT * size and size - live >= gain_bytes:
            yield Sparse(pack.name, (), live, size)


def rewrite(stores: Stores, packs: Sequence[Sparse], ranges: Mapping[bytes, Sequence[Place]]) -> Iterator[Moved]:
    """Write new packs, each of whole old ones. ranges: of each pack, as trees name them. Blocks. Raises Corrupt."""
    for group in groups(packs):
        places = [place for old in group for place in ranges[old.name]]
        data = rewritten((place, stores.trees.source.read(place)) for place in places)
        name = stores.name()
        stores.objects.put(index_key(name), data)
        yield Moved(INDEX, name, len(data), tuple(group))
