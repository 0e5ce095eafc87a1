"""Lays out the files of a datum as real copies: user code may do with them what it likes.

Small files are read from the store many at a time; big ones go through in pieces. Every byte is checked on its way.
Elsewhere: where the folders are (scratch.py), who asks for which datum when (prefetch.py).
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import work_v1_pb2 as work
from services.kit.packs import Bytes
from services.worker.calls import Trouble
from services.worker.inputs.resolving import Resolver
from services.worker.inputs.scratch import Scratch, own, remove
from services.worker.telemetry.spans import now

TOGETHER_FILES = 256
TOGETHER_BYTES = 4 << 20


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
    """A datum whose inputs are in place. files: (input name, path, content) of each. Times in ns since 1970."""

    index: int
    place: str
    began: int
    ended: int = 0
    size_bytes: int = 0
    files: list[tuple[str, str, content.Content]] = field(default_factory=list)


class Layout:
    """Lays out datums of one set. For one thread."""

    def __init__(self, scratch: Scratch, source: Source, resolver: Resolver) -> None:
        self._scratch = scratch
        self._source = source
        self._resolver = resolver

    def lay_out(self, index: int, datum: work.Datum) -> LaidOut:
        """Raises Trouble or OSError, and then leaves nothing behind."""
        laid = LaidOut(index, self._scratch.place(datum.id, sum(item.size_bytes for item in datum.inputs)), now())
        try:
            self._fill(laid, datum)
        except BaseException:
            remove(laid.place)
            raise
        laid.ended = now()
        return laid

    def _fill(self, laid: LaidOut, datum: work.Datum) -> None:
        folders: set[str] = set()
        together: list[Wanted] = []
        pending = 0
        for number, file in self._resolver.files(index=laid.index):
            item = datum.inputs[number]
            laid.files.append((item.name, file.path, file.content))
            target = self._target(laid.place, item.name, file.path, folders)
            if item.empty_files:
                self._write(target, ())
                continue
            wanted = Wanted(item.file.commit, file.path, file.content, target)
            size = file.content.size_bytes
            laid.size_bytes += size
            if size > TOGETHER_BYTES:
                self._write(target, self._source.pieces(wanted))
                continue
            together.append(wanted)
            pending += size
            if pending > TOGETHER_BYTES or len(together) >= TOGETHER_FILES:
                self._write_all(together)
                together, pending = [], 0
        self._write_all(together)

    def _write_all(self, files: list[Wanted]) -> None:
        for file, data in zip(files, self._source.small(files), strict=True):
            self._write(file.target, (data,))

    def _write(self, target: str, pieces: Iterable[Bytes]) -> None:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            if self._scratch.run_as is not None:
                os.fchown(handle, self._scratch.run_as.uid, self._scratch.run_as.gid)
            for piece in pieces:
                done = 0
                while done < len(piece):
                    done += os.write(handle, piece[done:] if done else piece)
        finally:
            os.close(handle)

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
        folders.add(folder)
