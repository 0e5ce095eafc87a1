"""Lazy inputs: a named pipe for each file, filled when user code opens it.

Whoever opens a pipe gets the file's bytes and then its end; the next one to open the same path gets them again, from
a new pipe that takes the old one's place. A reader that goes away early is no trouble. Nothing is read from the store
for files that nobody opens.
How an open is noticed: both ends of a pipe are held, so that opening never waits, and the folder is watched for opens
(inotify(7)). Pipes are made elsewhere and renamed into their place, so every open that is seen is user code's.
"""

import contextlib
import ctypes
import errno
import os
import resource
import select
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.kit.packs import Bytes
from services.worker.inputs.layout import Source, Wanted
from services.worker.inputs.scratch import own
from services.worker.peers.calls import Trouble
from services.worker.spec import RunAs

IN_OPEN, IN_Q_OVERFLOW = 0x20, 0x4000
EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
EVENT_BYTES = 64 << 10
SPARE_FILES = 256  # open files left for everything else
OPEN_FILES = 16 << 10  # not more: user code inherits the limit, and some programs walk through all it allows


@dataclass(slots=True)
class _Pipe:
    file: Wanted
    reader: int
    writer: int


@dataclass(slots=True)
class _Stream:
    """A file on its way to whoever opened it."""

    pieces: Iterator[Bytes]
    left: memoryview


def make_room() -> int:
    """Raise the limit of open files. Returns how many files of a datum can be pipes; further ones are copies."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max((soft - SPARE_FILES) // 3, 0) if soft != resource.RLIM_INFINITY else OPEN_FILES // 3


class Pipes:
    """The pipes of one attempt, served by a thread of its own. on_trouble: called once when a file cannot be had."""

    def __init__(
        self, files: Sequence[Wanted], folder: str, source: Source, run_as: RunAs | None, on_trouble: Callable[[], None]
    ) -> None:
        """folder: on the same file system, out of user code's sight. Raises OSError."""
        self.size_bytes = 0
        self.trouble: Trouble | None = None
        self._source = source
        self._run_as = run_as
        self._on_trouble = on_trouble
        self._spare = f"{folder}/.pipe"
        self._armed: dict[str, _Pipe] = {}
        self._folders: dict[int, str] = {}
        self._streams: dict[int, _Stream] = {}
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._watch = _inotify()
        self._poll = select.poll()
        for fd in (self._stop, self._watch):
            self._poll.register(fd, select.POLLIN)
        for place in {os.path.dirname(file.target) for file in files}:
            self._folders[_add_watch(self._watch, place)] = place
        for file in files:
            self._arm(file)
        self._thread = threading.Thread(target=self._serve, name="pipes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more is written. Raises Trouble when a file could not be had."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        for pipe in self._armed.values():
            os.close(pipe.reader)
            os.close(pipe.writer)
        for fd in (*self._streams, self._stop, self._watch):
            os.close(fd)
        self._source.close()
        if self.trouble is not None:
            raise self.trouble

    def _arm(self, file: Wanted) -> None:
        os.mkfifo(self._spare, 0o644)
        own(self._spare, self._run_as)
        reader = os.open(self._spare, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        writer = os.open(self._spare, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.rename(self._spare, file.target)
        self._armed[file.target] = _Pipe(file, reader, writer)

    def _serve(self) -> None:
        try:
            while True:
                for fd, _ in self._poll.poll():
                    if fd == self._stop:
                        return
                    if fd == self._watch:
                        for path in list(self._opened()):
                            self._begin(path)
                    else:
                        self._write(fd)
        except Trouble as trouble:
            self.trouble = trouble
        except Exception as error:  # noqa: BLE001 - a reader must not take a file that is cut short for a whole one
            self.trouble = Trouble(f"a lazy input cannot be read: {error!r}")
        self._on_trouble()

    def _opened(self) -> Iterator[str]:
        data = os.read(self._watch, EVENT_BYTES)
        at = 0
        while at < len(data):
            watch, mask, _, length = EVENT.unpack_from(data, at)
            at += EVENT.size
            name = data[at : at + length].rstrip(b"\0")
            at += length
            if mask & IN_Q_OVERFLOW:  # nobody knows which, so all
                yield from list(self._armed)
            elif name and watch in self._folders:
                yield f"{self._folders[watch]}/{os.fsdecode(name)}"

    def _begin(self, path: str) -> None:
        pipe = self._armed.pop(path, None)
        if pipe is None:
            return
        os.close(pipe.reader)
        with contextlib.suppress(FileNotFoundError):  # user code may have removed the folder
            if _is_at(pipe.writer, path):
                self._arm(pipe.file)
        self._streams[pipe.writer] = _Stream(iter(self._source.pieces(pipe.file)), memoryview(b""))
        self._poll.register(pipe.writer, select.POLLOUT)

    def _write(self, fd: int) -> None:
        stream = self._streams[fd]
        try:
            if not stream.left:
                stream.left = memoryview(next(stream.pieces, b""))
                self.size_bytes += len(stream.left)
            if stream.left:
                stream.left = stream.left[os.write(fd, stream.left) :]
                return
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
        self._poll.unregister(fd)
        del self._streams[fd]
        os.close(fd)


def _is_at(fd: int, path: str) -> bool:
    there, held = os.lstat(path), os.fstat(fd)
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)


def _inotify() -> int:
    fd = int(_libc().inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    if fd < 0:
        raise _error("lazy inputs need inotify")
    return fd


def _add_watch(fd: int, folder: str) -> int:
    watch = int(_libc().inotify_add_watch(fd, os.fsencode(folder), IN_OPEN))
    if watch < 0:
        raise _error("a folder of lazy inputs cannot be watched")
    return watch


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
