"""What a tree may not hold: one path from two datums, and one path that is a file and a directory.

A tree without such troubles can only get them from what was put, so a check costs the change; where most of a tree is
new, one pass over its keys is cheaper (`first_in`).
Elsewhere: reading the keys (operations/finishing/merge.py).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

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


class Doubts:
    """What a look at the neighbours of keys that were put does not clear.

    Most keys are clear: a neighbour in the same directory that was there before shows that none of the directories
    above is a file, unless one was put, and that one is looked at by itself. So does one that was looked at before.
    """

    MOST = 200_000  # keys and directories that are remembered

    def __init__(self) -> None:
        self.are_too_many = False
        self.keys: list[bytes] = []
        """Whose paths may be there twice, or be directories as well. Ascending."""
        self.folders: dict[bytes, None] = {}
        """Which may be files, or lie below one. With their "/"."""

    def look(self, keys: Sequence[bytes], put: Sequence[int]) -> None:
        """keys: neighbours; put: which of them are new. Called in the order of keys."""
        count = len(keys)
        for number, index in enumerate(put):
            key = keys[index]
            end = key.index(0)
            folder = key[: key.rindex(b"/", 0, end) + 1]
            if index == 0 or index + 1 == count or not _alone(keys, index, end):
                self.keys.append(key)
            if folder == b"/" or (index and keys[index - 1].startswith(folder)):
                continue
            old = index + 1 < count and not (number + 1 < len(put) and put[number + 1] == index + 1)
            if not (old and keys[index + 1].startswith(folder)):
                self.folders[folder] = None
        if len(self.keys) + len(self.folders) > self.MOST:
            self.are_too_many = True
            self.keys, self.folders = [], {}


def _alone(keys: Sequence[bytes], index: int, end: int) -> bool:
    """Whether a key between two others has a path of its own, which is no directory. end: of its path."""
    key = keys[index]
    same, following = key[: end + 1], keys[index + 1]
    if keys[index - 1].startswith(same) or following.startswith(same):
        return False
    if not following.startswith(key[:end]):
        return True
    below = key[:end] + b"/"
    at_or_after = bisect_left(keys, below, index + 1)
    return at_or_after < len(keys) and not keys[at_or_after].startswith(below)


def first_of_change(doubts: Doubts, keys: Keys, *, duplicates: bool = True) -> Trouble | None:
    """The first trouble that doubtful keys, now in the tree, are part of. keys: reads the new tree.

    duplicates: whether one path from two datums is trouble; readers of an open commit can make sense of that.
    """
    found: list[Trouble] = []
    before = ""
    for key in doubts.keys:
        path, _ = split_key(key)
        if path != before:
            found += _of_path(path, keys, duplicates=duplicates)
        before = path
    directories = {directory: None for folder in doubts.folders for directory in parents(folder.decode() + ".")}
    for directory in directories:
        if next(keys(*at(directory)), None) is not None:
            found.append(collision(directory))
    return min(found, key=lambda trouble: trouble.path.encode(), default=None)


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
