"""What a tree may not hold: one path from two datums, and one path that is a file and a directory.

A tree without such troubles can only get them from what was put, so a check costs the change; where most of a tree is
new, one pass over its keys is cheaper (`first_in`).
Elsewhere: reading the keys (operations/finishing/merge.py).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

from services.kit.errors import Problem
from services.pfs.domain.files.paths import at, parents, split_key

Keys = Callable[[bytes, bytes], Iterator[bytes]]
"""Keys of the tree in a half-open span, ascending."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The first thing wrong with a tree, in the order of paths."""

    path: str
    text: str


class Collision(Problem):
    """A tree cannot be read because one of its paths is a file and a directory."""


def duplicate(path: str, first: str, second: str) -> Trouble:
    return Trouble(path, f"duplicate path output by different datums ({path} from {first} and {path} from {second})")


def collision(path: str) -> Trouble:
    return Trouble(path, f"file / directory path collision ({path})")


def first_of_change(put: Iterable[bytes], keys: Keys, *, duplicates: bool = True) -> Trouble | None:
    """The first trouble that these keys, now in the tree, are part of. put: ascending; keys: reads the new tree.

    duplicates: whether one path from two datums is trouble; readers of an open commit can make sense of that.
    """
    found: list[Trouble] = []
    clear: set[str] = set()  # directories that are known to be no files
    before = ""
    for key, following in pairwise(chain(put, (b"",))):
        path, _ = split_key(key)
        if path == before:
            continue
        before = path
        found += _of_path(path, keys, duplicates=duplicates)
        if _has_older(path, key, following, keys):
            continue
        for directory in parents(path):
            if directory in clear:
                continue
            clear.add(directory)
            if next(keys(*at(directory)), None) is not None:
                found.append(collision(directory))
    return min(found, key=lambda trouble: trouble.path.encode(), default=None)


def _has_older(path: str, key: bytes, following: bytes, keys: Keys) -> bool:
    """Whether the key behind this one was there before, in the same directory: then no directory above is a file,
    unless one was put, and that one is looked at by itself. It mostly lies in the same range."""
    folder = path[: path.rindex("/") + 1].encode()
    here = keys(key, folder[:-1] + b"0")
    older = next((other for other in here if other != key), None)
    return older is not None and older != following


def _of_path(path: str, keys: Keys, *, duplicates: bool) -> Iterator[Trouble]:
    same = keys(*at(path))
    first, second = next(same, None), next(same, None)
    if duplicates and first is not None and second is not None:
        yield duplicate(path, split_key(first)[1], split_key(second)[1])
    raw = path.encode()
    if next(keys(raw + b"/", raw + b"0"), None) is not None:
        yield collision(path)


def first_in(keys: Iterable[bytes], *, duplicates: bool = True) -> Trouble | None:
    """The first trouble among all keys of a tree, ascending; one pass, no look-ups."""
    found: Trouble | None = None
    open_paths: list[bytes] = []  # files that the current path begins with: the paths beginning so are neighbours
    before, before_key = b"", b""
    for key in keys:
        path = key[: key.index(b"\0")]
        if path == before:
            if duplicates:
                text = path.decode()
                found = _earlier(found, duplicate(text, split_key(before_key)[1], split_key(key)[1]))
            continue
        while open_paths and not path.startswith(open_paths[-1]):
            open_paths.pop()
        for shorter in open_paths:
            if path[len(shorter)] == 0x2F:
                found = _earlier(found, collision(shorter.decode()))
        open_paths.append(path)
        before, before_key = path, key
    return found


def _earlier(found: Trouble | None, other: Trouble) -> Trouble:
    return other if found is None or other.path.encode() < found.path.encode() else found
