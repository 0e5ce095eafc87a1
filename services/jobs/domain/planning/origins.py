"""What a plan was made from, so that the next one can be told from what has changed since.

Kept with a job as long as the job. A plan whose tree or salt is another one is not comparable: nothing is told from it.
Elsewhere: the maps named here (operations/planning/matching.py); changes of datums (changes.py).
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from services.jobs.domain.planning.inputs import Input
from services.kit.sortedmap.rows import EMPTY, Place, Root


@dataclass(frozen=True, slots=True)
class Origin:
    """The input tree, by its fingerprint; the id of the commit behind each leaf, from left to right, each leaf once.

    matches: the files of joins and groups by key. repeats: of datums that several leaves give how many do but one.
    wanted: all datums of a job that awaits its base, so that the job after it need not await it.
    """

    tree: str
    commits: tuple[str, ...]
    matches: Root = EMPTY
    repeats: Root = EMPTY
    wanted: Root = EMPTY

    @property
    def roots(self) -> list[Root]:
        return [root for root in (self.matches, self.repeats, self.wanted) if root.place is not None]


def fingerprint(tree: Input, salt: str) -> str:
    """Equal for trees and salts under which a file gives the same datums with the same hashes."""
    return hashlib.blake2b(f"{tree!r} {salt!r}".encode(), digest_size=16).hexdigest()


def written(origin: Origin) -> bytes:
    """An origin as bytes."""
    roots = map(_root, (origin.matches, origin.repeats, origin.wanted))
    return json.dumps([origin.tree, origin.commits, *roots]).encode()


def read_origin(data: bytes) -> Origin:
    tree, commits, *roots = json.loads(data)
    return Origin(tree, tuple(commits), *map(_read_root, roots))


def _root(root: Root) -> list[Any] | None:
    if root.place is None:
        return None
    return [root.id.hex(), root.place.pack.hex(), root.place.offset, root.place.stored, root.rows]


def _read_root(data: list[Any] | None) -> Root:
    if data is None:
        return EMPTY
    id, pack, offset, stored, rows = data
    return Root(bytes.fromhex(id), Place(bytes.fromhex(pack), offset, stored), rows, 0)
