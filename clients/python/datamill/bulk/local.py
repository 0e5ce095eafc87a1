"""Folders on this machine: walking one to send it, and unpacking a tar stream into one, safely."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from datamill.errors import Corrupt, Invalid

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to send. path: relative to the folder, with slashes."""

    path: str
    source: str


@dataclass(frozen=True)
class Folder:
    """Every file below a folder, as often as it is asked for."""

    path: Path

    def __iter__(self) -> Iterator[LocalFile]:
        return walk(self.path)


def walk(folder: Path) -> Iterator[LocalFile]:
    """Every file below, in order of path; links are followed. Raises Invalid, OSError."""
    if not folder.is_dir():
        raise Invalid(f"{folder} is not a folder")
    yield from _below(str(folder), "", (os.path.realpath(folder),))


def _below(folder: str, prefix: str, above: tuple[str, ...]) -> Iterator[LocalFile]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: os.fsencode(entry.name + "/" if entry.is_dir() else entry.name))
    for entry in entries:
        if not _is_text(entry.name):
            raise Invalid(f"the name of {os.fsencode(entry.path)!r} is not text (UTF-8); rename it")
        if entry.is_file():
            yield LocalFile(prefix + entry.name, entry.path)
        elif entry.is_dir():
            real = os.path.realpath(entry.path) if entry.is_symlink() else ""
            if real in above:
                raise Invalid(f"{entry.path} is a link to a folder it lies in")
            yield from _below(entry.path, f"{prefix}{entry.name}/", (*above, real or os.path.realpath(entry.path)))
        else:
            raise Invalid(f"{entry.path} is neither a file nor a folder (a pipe, a device or a broken link)")


def _is_text(name: str) -> bool:
    """Whether a name's bytes were text; those that are not came as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Stream(io.RawIOBase):
    """Pieces of bytes as a file that can be read once."""

    def __init__(self, pieces: Iterator[bytes], seen: Callable[[int], None]) -> None:
        self._pieces = pieces
        self._seen = seen
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        into = memoryview(buffer)  # type: ignore[arg-type]
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
    made: set[Path] = set()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        io.BufferedReader(Stream(pieces, seen), PIECE_BYTES) as raw,
        tarfile.open(fileobj=raw, mode="r|") as archive,
    ):
        for member in archive:
            target = inside(folder, member.name, below)
            if target is None:
                continue
            parent = target if member.isdir() else target.parent
            if parent not in made:
                parent.mkdir(parents=True, exist_ok=True)
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


def _save(content: IO[bytes], target: Path) -> None:
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


def beside_of(path: Path) -> str:
    """Where a file is written until it is whole."""
    return f"{path.parent}/.{path.name[:200]}.{os.getpid()}-{os.urandom(4).hex()}.part"


def inside(folder: Path, name: str, below: str) -> Path | None:
    """Where an entry goes, or None for the top folder itself. Raises Corrupt for a path that leads outside."""
    path = PurePosixPath("/" + name.lstrip("/"))
    if ".." in path.parts or "\0" in name:
        raise Corrupt(f"the server sent a path that leads outside: {name!r}")
    top = PurePosixPath(below)
    if not path.is_relative_to(top):
        raise Corrupt(f"the server sent {name!r}, which is not below {below}")
    relative = path.relative_to(top)
    return folder / relative if relative.parts else None
