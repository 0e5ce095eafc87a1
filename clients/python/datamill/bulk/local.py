"""Folders on this machine, walked to be sent. Elsewhere: writing into one (fetching/)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from datamill.errors import Invalid


class LocalFile(NamedTuple):
    """A file to send. path: relative to the folder, with slashes."""

    path: str
    source: str


@dataclass(frozen=True)
class Folder:
    """Every file below a folder, as often as it is asked for."""

    path: Path

    def __iter__(self) -> Iterator[LocalFile]:
        return walk(self.path)


def walk(folder: Path, prefix: str = "") -> Iterator[LocalFile]:
    """Every file below, in order of path; links are followed. Paths begin with `prefix`. Raises Invalid, OSError."""
    if not folder.is_dir():
        raise Invalid(f"{folder} is not a folder")
    yield from _below(str(folder), prefix, (os.path.realpath(folder),))


def _below(folder: str, prefix: str, above: tuple[str, ...]) -> Iterator[LocalFile]:
    entries: list[tuple[str, os.DirEntry[str] | None]] = []
    with os.scandir(folder) as found:
        for entry in found:  # as little as can be for each of what may be millions of files
            name = entry.name
            if not name.isascii():
                _check_text(entry)
            if entry.is_file():
                entries.append((name, None))
            elif entry.is_dir():
                entries.append((name + "/", entry))
            else:
                raise Invalid(f"{entry.path} is neither a file nor a folder (a pipe, a device or a broken link)")
    entries.sort()  # characters sort as their bytes do in UTF-8
    start = folder if folder.endswith("/") else folder + "/"
    for name, inner in entries:
        if inner is None:
            yield LocalFile(prefix + name, start + name)
            continue
        real = os.path.realpath(inner.path) if inner.is_symlink() else f"{above[-1].rstrip('/')}/{inner.name}"
        if inner.is_symlink() and real in above:
            raise Invalid(f"{inner.path} is a link to a folder it lies in")
        yield from _below(inner.path, prefix + name, (*above, real))


def _check_text(entry: os.DirEntry[str]) -> None:
    """A name's bytes were text, or they came as lone surrogates. Raises Invalid."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(entry.path)
        raise Invalid(f"the name of {shown!r} is not text (UTF-8); rename it") from None
