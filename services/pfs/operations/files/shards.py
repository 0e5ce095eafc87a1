"""Cutting a view into spans of paths that are about equally big.

Elsewhere: reading a span (read.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from services.kit.sortedmap.tree import scan
from services.pfs.domain.errors import Malformed
from services.pfs.operations.files.tree_views import TreeView

FILES, BYTES = 1_000_000, 10**9


@dataclass(frozen=True, slots=True)
class Shard:
    """Paths from `lower` on, before `upper`; "" is no bound."""

    lower: str
    upper: str


def shards(view: TreeView, files: int, size_bytes: int) -> Iterator[Shard]:
    """Adjacent spans that cover everything, each ended by whichever of the limits it reaches first. Blocks.

    files, size_bytes: 0 means FILES and BYTES. What one path holds is never cut. Raises Malformed.
    """
    if files < 0 or size_bytes < 0:
        raise Malformed("the limits of a shard must not be negative")
    most_files, most_bytes = files or FILES, size_bytes or BYTES
    lower, here = "", b""
    count = total = 0
    for row in scan(view.reader, view.root):
        path = row.key[: row.key.index(0)]
        if path != here:
            if count >= most_files or total >= most_bytes:
                yield Shard(lower, path.decode())
                lower, count, total = path.decode(), 0, 0
            here = path
            count += 1
        total += row.size
    yield Shard(lower, "")
