"""The folders below /pfs: where a datum's files lie, what /pfs shows of them, and how they go away.

/pfs/<input>, /pfs/.env   links into /pfs/.memory/.now, a link to the datum in hand: the only one that the next changes
/pfs/out                  a link to the folder for outputs
/pfs/.scratch             on disk
/pfs/.memory              on the memory file system that /pfs itself is

Anything else in /pfs goes when the next datum is shown.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from services.kit.packs import Bytes
from services.worker.spec import RunAs

DISK, MEMORY = ".scratch", ".memory"
_KEPT = (DISK, MEMORY)
_LONG_AGO = 1_000_000_000  # nanoseconds since 1970; no change that somebody makes is of that time


class Scratch:
    """One worker's /pfs."""

    def __init__(
        self, root: Path, *, run_as: RunAs | None, memory_bytes: int, out_in_memory: bool, most_pipes: int = 0
    ) -> None:
        """most_pipes: how many lazy files a datum may have; further ones are copies."""
        self.root = str(root)
        self.run_as = run_as
        self.most_pipes = most_pipes
        self._memory_bytes = memory_bytes
        self._places = 0
        for name in _KEPT:
            os.makedirs(f"{self.root}/{name}", mode=0o711, exist_ok=True)
            empty_folder(f"{self.root}/{name}")  # an earlier incarnation's
        self.out = f"{self.root}/{MEMORY if out_in_memory else DISK}/out"
        self._out_inode = -1
        self._now = f"{self.root}/{MEMORY}/.now"
        self._shown: frozenset[str] = frozenset()  # names of inputs that have links

    def place(self, datum_id: str, size_bytes: int) -> str:
        """A new folder for a datum's inputs: in memory when they are small."""
        self._places += 1
        kind = MEMORY if size_bytes < self._memory_bytes else DISK
        place = f"{self.root}/{kind}/{self._places}-{datum_id}"
        os.mkdir(place, 0o711)
        return place

    def spool(self, name: str) -> str:
        """A path for a file of the shim's own, on disk."""
        return f"{self.root}/{DISK}/{name}"

    def fresh_out(self) -> None:
        """Make `out` an empty folder that everybody may write to; the same one as before where that can be."""
        try:
            now = os.lstat(self.out)
        except FileNotFoundError:
            now = None
        if now is not None and now.st_ino == self._out_inode and stat.S_ISDIR(now.st_mode):
            empty_folder(self.out)
            if stat.S_IMODE(now.st_mode) != 0o777:
                os.chmod(self.out, 0o777)
            return
        if now is not None:
            remove(self.out)
        os.mkdir(self.out)
        self._out_inode = os.lstat(self.out).st_ino
        os.chmod(self.out, 0o777)
        own(self.out, self.run_as)

    def link(self, place: str, names: frozenset[str], env: bytes, *, made: Collection[str] = ()) -> None:
        """Show a datum in /pfs, and nothing else. made: folders that are known to be there."""
        write_file(f"{place}/.env", (env,), self.run_as)
        for name in names:
            folder = f"{place}/{name}"
            if folder not in made and not os.path.isdir(folder):
                os.mkdir(folder, 0o700)
                own(folder, self.run_as)
        os.symlink(place, f"{self._now}.next")
        os.rename(f"{self._now}.next", self._now)
        if names != self._shown or not self._as_left():
            self._link_anew(names)

    def unlink(self) -> None:
        """Show nothing."""
        self._shown = frozenset()
        for name in os.listdir(self.root):
            if name not in _KEPT:
                remove(f"{self.root}/{name}")

    def _link_anew(self, names: frozenset[str]) -> None:
        self.unlink()
        for name in (*names, ".env"):
            os.symlink(f"{self._now}/{name}", f"{self.root}/{name}")
        os.symlink(self.out, f"{self.root}/out")
        with suppress(PermissionError):  # /pfs is somebody else's: then all links are made anew each time
            os.utime(self.root, ns=(_LONG_AGO, _LONG_AGO))
        self._shown = names

    def _as_left(self) -> bool:
        """Whether nobody has added, removed or renamed anything in /pfs itself: that is seen in its time of change."""
        return os.lstat(self.root).st_mtime_ns == _LONG_AGO

    def clear(self) -> None:
        """Remove whatever a set left."""
        self.unlink()
        if os.path.isdir(self.out):
            empty_folder(self.out)
        for name in _KEPT:
            empty_folder(f"{self.root}/{name}", keep=(os.path.basename(self.out), "stdin", "err_stdin"))


def write_file(path: str, pieces: Iterable[Bytes], run_as: RunAs | None) -> None:
    """Write a file anew, owned by whom user code runs as."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        if run_as is not None:
            os.fchown(handle, run_as.uid, run_as.gid)
        for piece in pieces:
            done = 0
            while done < len(piece):
                done += os.write(handle, piece[done:] if done else piece)
    finally:
        os.close(handle)


def own(path: str, run_as: RunAs | None) -> None:
    if run_as is not None:
        os.chown(path, run_as.uid, run_as.gid, follow_symlinks=False)


def remove(path: str) -> None:
    """Remove a file, a link or a whole folder, whatever modes user code gave it."""
    try:
        _remove(path)
    except PermissionError:
        os.chmod(os.path.dirname(path), 0o700)
        _remove(path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise
        empty_folder(path)
        os.rmdir(path)


def empty_folder(path: str, *, keep: Collection[str] = ()) -> None:
    """Remove what is in a folder, however deep it goes."""
    try:
        _empty(path, keep)
    except RecursionError:
        _flatten(path, keep)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        _flatten(path, keep)


def _flatten(path: str, keep: Collection[str]) -> None:
    """The same level by level: folders below are moved up before what held them goes."""
    top, numbers = os.open(path, os.O_RDONLY | os.O_CLOEXEC), count()
    try:
        while names := [name for name in os.listdir(top) if name not in keep]:
            for name in names:
                if stat.S_ISDIR(os.lstat(name, dir_fd=top).st_mode):
                    _raise_from(name, top, numbers)
                    os.rmdir(name, dir_fd=top)
                else:
                    os.unlink(name, dir_fd=top)
    finally:
        os.close(top)


def _raise_from(folder: str, top: int, numbers: Iterator[int]) -> None:
    os.chmod(folder, 0o700, dir_fd=top)
    held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC, dir_fd=top)
    try:
        for name in os.listdir(held):
            while os.path.lexists(f"/proc/self/fd/{top}/{(free := f'.deep-{next(numbers)}')}"):
                pass
            os.rename(name, free, src_dir_fd=held, dst_dir_fd=top)
    finally:
        os.close(held)


def _empty(path: str, keep: Collection[str]) -> None:
    try:
        names = os.listdir(path)
    except PermissionError:
        os.chmod(path, 0o700)
        names = os.listdir(path)
    for name in names:
        if name not in keep:
            remove(f"{path}/{name}")
