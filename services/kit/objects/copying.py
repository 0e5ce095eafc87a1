"""Objects copied from a store into a folder of files, one for each key, and back into a store. All of it blocks.

A file is under its own name only once it is whole; objects never change, so what is there already is not copied again.
Elsewhere: which objects (whoever calls).
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

from services.kit.objects.port import ObjectMissing, Objects

AT_ONCE = 8  # transfers, where they wait for a store far away
PIECE_BYTES = 32 << 20


@dataclass
class Copied:
    """How many objects, and their bytes; already: those that were there."""

    objects: int = 0
    size_bytes: int = 0
    already: int = 0

    def add(self, size: int | None) -> None:
        if size is None:
            self.already += 1
        else:
            self.objects += 1
            self.size_bytes += size


def fetch(store: Objects, keys: Iterable[str], folder: Path) -> Copied:
    """Copy objects into a folder. Raises ObjectMissing, Unavailable."""
    return _each(keys, lambda key: _fetched(store, key, folder / key), 1 if store.root is not None else AT_ONCE)


def bring(store: Objects, keys: Iterable[str], folder: Path) -> Copied:
    """Copy files of a folder into a store. Raises Unavailable, Exhausted."""
    return _each(keys, lambda key: _brought(store, key, folder / key), 1 if store.root is not None else AT_ONCE)


def keys_in(folder: Path) -> Iterator[str]:
    """The keys of such a folder."""
    for above, folders, files in os.walk(folder):
        folders.sort()
        relative = Path(above).relative_to(folder)
        yield from (str(relative / name) for name in sorted(files) if not name.startswith("."))


def _each(keys: Iterable[str], copy: Callable[[str], int | None], at_once: int) -> Copied:
    """copy: copies one object and returns its size, None when it was there."""
    copied, rest = Copied(), iter(keys)
    with ThreadPoolExecutor(at_once, thread_name_prefix="copy") as threads:
        while some := list(islice(rest, 100)):
            for size in threads.map(copy, some):
                copied.add(size)
    return copied


def _fetched(store: Objects, key: str, goal: Path) -> int | None:
    if goal.exists():
        return None
    part = _part(goal)
    if store.root is None:
        _download(store, key, part)
    else:
        try:
            shutil.copyfile(store.root / key, part)
        except FileNotFoundError as error:
            raise ObjectMissing(key) from error
    part.rename(goal)
    return goal.stat().st_size


def _brought(store: Objects, key: str, path: Path) -> int | None:
    size = path.stat().st_size
    if store.size(key) == size:
        return None
    if store.root is not None:
        part = _part(store.root / key)
        shutil.copyfile(path, part)
        part.rename(store.root / key)
    elif size <= PIECE_BYTES:
        store.put(key, path.read_bytes())
    else:
        with NamedTemporaryFile(prefix="datamill-", delete=False) as copy:
            shutil.copyfile(path, copy.name)
        store.adopt(key, Path(copy.name))  # the store takes the file for itself
    return size


def _part(goal: Path) -> Path:
    goal.parent.mkdir(parents=True, exist_ok=True)
    return goal.with_name(f".{goal.name}.part")


def _download(store: Objects, key: str, part: Path) -> None:
    with open(part, "wb") as file:
        data = store.get_up_to(key, 0, PIECE_BYTES)
        while data:
            file.write(data)
            if len(data) < PIECE_BYTES:
                return
            data = store.get_up_to(key, file.tell(), PIECE_BYTES)
