"""Lays out the files of a datum as real copies: user code may do with them what it likes.

Small files are read from the store many at a time; big ones go through in pieces. Every byte is checked on its way.
Elsewhere: where the folders are (scratch.py), who asks for which datum when (prefetch.py).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from datamill.bulk.sending.stating import Blob, plain
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import work_v1_pb2 as work
from services.kit.packs import Bytes
from services.worker.inputs.resolving import Resolver
from services.worker.inputs.scratch import Scratch, own, remove, write_file
from services.worker.peers.calls import Trouble
from services.worker.telemetry.spans import now

TOGETHER_FILES = 256
TOGETHER_BYTES = 4 << 20
FEW_FILES = 16


class Source(Protocol):
    """Where bytes come from."""

    def small(self, files: list["Wanted"]) -> Iterator[Bytes]:
        """The whole content of each file, in order. Raises Trouble."""
        ...

    def pieces(self, file: "Wanted") -> Iterator[Bytes]:
        """The content of one file, piece by piece. Raises Trouble."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to lay out."""

    commit: pfs.Commit
    path: str
    content: content.Content
    target: str


@dataclass(slots=True)
class LaidOut:
    """A datum whose inputs are in place. files: (input name, path, what it is) of each. Times in ns since 1970."""

    index: int
    place: str
    began: int
    ended: int = 0
    size_bytes: int = 0
    files: list[tuple[str, str, Blob | content.Content]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    lazy: list[Wanted] = field(default_factory=list)  # files that are to be pipes while an attempt runs

    def remove(self) -> None:
        """Leave nothing of it on disk. What is as it was laid out goes without being looked at."""
        if len(self.files) <= FEW_FILES:
            with suppress(OSError):
                for name, path, _ in self.files:
                    os.unlink(f"{self.place}/{name}{path}")
                for folder in reversed(self.folders):
                    os.rmdir(folder)
                os.unlink(f"{self.place}/.env")
                os.rmdir(self.place)
                return
        remove(self.place)


class Layout:
    """Lays out datums of one set. For one thread."""

    def __init__(self, scratch: Scratch, source: Source, resolver: Resolver) -> None:
        self._scratch = scratch
        self._source = source
        self._resolver = resolver
        self._made: list[str] = []

    def lay_out(self, index: int, datum: work.Datum) -> LaidOut:
        """Raises Trouble or OSError, and then leaves nothing behind."""
        size = sum(0 if item.lazy or item.empty_files else item.size_bytes for item in datum.inputs)
        laid = LaidOut(index, self._scratch.place(datum.id, size), now())
        try:
            self._fill(laid, datum)
        except BaseException:
            laid.remove()
            raise
        laid.ended = now()
        return laid

    def _fill(self, laid: LaidOut, datum: work.Datum) -> None:
        folders: set[str] = set()
        self._made = laid.folders
        together: list[Wanted] = []
        pending = 0
        for number, file in self._resolver.files(index=laid.index):
            item = datum.inputs[number]
            laid.files.append((item.name, file.path, plain(file.content)))
            target = self._target(laid.place, item.name, file.path, folders)
            if item.empty_files:
                write_file(target, (), self._scratch.run_as)
                continue
            wanted = Wanted(item.file.commit, file.path, file.content, target)
            if item.lazy and len(laid.lazy) < self._scratch.most_pipes:
                laid.lazy.append(wanted)
                continue
            size = file.content.size_bytes
            laid.size_bytes += size
            if size > TOGETHER_BYTES:
                write_file(target, self._source.pieces(wanted), self._scratch.run_as)
                continue
            together.append(wanted)
            pending += size
            if pending > TOGETHER_BYTES or len(together) >= TOGETHER_FILES:
                self._write_all(together)
                together, pending = [], 0
        self._write_all(together)

    def _write_all(self, files: list[Wanted]) -> None:
        for file, data in zip(files, self._source.small(files), strict=True):
            write_file(file.target, (data,), self._scratch.run_as)

    def _target(self, place: str, name: str, path: str, folders: set[str]) -> str:
        parts = path.split("/")
        if ".." in parts:
            raise Trouble(f"the store names a file {path!r}, which is no path", final=True)
        folder = f"{place}/{name}"
        if folder not in folders:
            self._make(folder, folders)
        for part in parts[:-1]:
            if part:
                folder = f"{folder}/{part}"
                if folder not in folders:
                    self._make(folder, folders)
        return f"{folder}/{parts[-1]}"

    def _make(self, folder: str, folders: set[str]) -> None:
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        else:
            own(folder, self._scratch.run_as)
            self._made.append(folder)
        folders.add(folder)
