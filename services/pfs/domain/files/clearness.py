"""Whether a tree holds nothing that it may not, told quickly: by a few look-ups a directory instead of a look a file.

Keys come in order, so that all that lies between a file and what would be below it begins with the file's path: only
then there is anything to look up.
Elsewhere: what is wrong with a tree that is not clear (collisions.py).
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from services.pfs.domain.files.collisions import Keys
from services.pfs.domain.files.paths import DEFAULT_DATUM

_AT_ONCE = 256
_FEW = 16  # so many are looked at one by one
_DEFAULT = b"\0" + DEFAULT_DATUM.encode() + b"\0"


class Clearness:
    """Of keys that come in runs, ascending."""

    def __init__(self) -> None:
        self.shown = True
        """Whether the keys so far hold no path twice and no path that is a file and a directory."""
        self._path = b""  # of the last key
        self._folder = b"/"
        self._run: Sequence[bytes] = ()
        self._open = set[bytes]()  # files of earlier runs whose paths the last one of them began with

    def feed(self, keys: Sequence[bytes]) -> None:
        """The next keys."""
        if not self.shown:
            return
        self._run = keys
        for start in range(0, len(keys), _AT_ONCE):
            self._look(keys[start : start + _AT_ONCE])
            if not self.shown:
                return
        begins = (self._path[:end] for end in range(2, len(self._path) + 1))
        self._open = {file for file in begins if not self._lacks(file)}

    def _look(self, keys: Sequence[bytes]) -> None:
        self._each(keys[:1])
        if self._in_one_folder(keys):
            self._path = keys[-1].partition(b"\0")[0]
        elif len(keys) <= _FEW:
            self._each(keys[1:])
        else:
            half = len(keys) // 2
            self._look(keys[1:half])
            self._look(keys[half:])

    def _in_one_folder(self, keys: Sequence[bytes]) -> bool:
        """Whether all of them are files of the folder at hand, and have one datum tag."""
        joined = b"\0".join([*keys, b""])
        alike = keys[-1].startswith(self._folder) and joined.count(_DEFAULT) == len(keys)
        return alike and joined.count(b"/") == len(keys) * self._folder.count(b"/")

    def _each(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            path = key[: key.index(b"\0")]
            if path == self._path:
                self.shown = False
                return
            folder = path[: path.rindex(b"/") + 1]
            if folder != self._folder:
                self._enter(folder)
                self._folder = folder
            self._path = path

    def _enter(self, folder: bytes) -> None:
        """Whether none of the folders that begin here is a file."""
        end = folder.find(b"/", 1)
        while end > 0:
            above = folder[:end]
            if self._path.startswith(above) and not self._path.startswith(folder[: end + 1]):
                self.shown = self.shown and self._lacks(above)
            end = folder.find(b"/", end + 1)

    def _lacks(self, file: bytes) -> bool:
        """Whether a path that the last key begins with is no file."""
        at = bisect_left(self._run, file + b"\0")
        here = at < len(self._run) and self._run[at].startswith(file + b"\0")
        return not here and (at > 0 or file not in self._open)


def meet_well(before: bytes, after: bytes, keys: Keys) -> bool:
    """Whether two neighbouring parts of a tree, each of which is clear, are clear together.

    before: the last key of the one; after: the first key of the other; keys: reads both.
    """
    first, second = before.partition(b"\0")[0], after.partition(b"\0")[0]
    if first == second:
        return False
    for end in range(2, len(first) + 1):
        file = first[:end]
        if not second.startswith(file):
            break
        if file.endswith(b"/") or next(keys(file + b"\0", file + b"\1"), None) is None:
            continue
        if next(keys(file + b"/", file + b"0"), None) is not None:
            return False
    return True
