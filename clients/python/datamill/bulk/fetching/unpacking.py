"""Unpacking a tar stream into a folder, safely: for machines that do not reach the store. Standard library only."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from datamill.bulk.fetching.places import beside_of, inside
from datamill.errors import Corrupt

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE_BYTES = 1 << 20


class Stream(io.RawIOBase):
    """Pieces of bytes as a file that can be read once."""

    def __init__(self, pieces: Iterator[bytes], seen: Callable[[int], None]) -> None:
        self._pieces = pieces
        self._seen = seen
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        into = memoryview(buffer)
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._seen(len(piece))
            self._left = memoryview(piece)
        count = min(len(into), len(self._left))
        into[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def unpack(pieces: Iterator[bytes], folder: Path, *, below: str, seen: Callable[[int], None]) -> int:
    """Write a tar stream's files into `folder`, their paths taken from `below` on. Returns how many.

    Only files and folders inside `folder` are ever written: no links, no devices, no "..". Raises Corrupt.
    """
    files = 0
    made: set[str] = set()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        io.BufferedReader(Stream(pieces, seen), PIECE_BYTES) as raw,
        tarfile.open(fileobj=raw, mode="r|") as archive,
    ):
        for member in archive:
            target = inside(str(folder), member.name, below)
            if target is None:
                continue
            parent = target if member.isdir() else os.path.dirname(target)
            if parent not in made:
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            if member.isreg():
                content = archive.extractfile(member)
                assert content is not None  # it is a regular file
                _save(content, target)
                files += 1
            elif not member.isdir():
                raise Corrupt(f"the server sent {member.name}, which is neither a file nor a folder")
            archive.members = []  # type: ignore[attr-defined] # else every header is kept to the end
    return files


def _save(content: IO[bytes], target: str) -> None:
    beside = beside_of(target)
    try:
        with open(beside, "xb") as file:
            while piece := content.read(PIECE_BYTES):
                file.write(piece)
        os.replace(beside, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
