"""Objects as files below one folder.

Temp file, fsync, rename, fsync of the folder: a crash leaves garbage, never a hole. A folder that is gone for a while,
such as one that is not mounted, is told from an object that is missing by ".incoming", which is always there.
"""

import errno
import logging
import os
import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from services.kit.errors import Corrupt, Exhausted, Unavailable
from services.kit.objects.port import Data, ObjectMissing, pieces_of

log = logging.getLogger(__name__)


class LocalObjects:
    """A folder of immutable files. Safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._incoming = self._root / ".incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Path | None:
        return self._root

    def spread(self, *prefixes: str) -> None:
        """Make the folders "<prefix>/00" to "<prefix>/ff" beforehand, so that no put has to make and sync one."""
        for prefix in prefixes:
            for number in range(256):
                (self._root / prefix / f"{number:02x}").mkdir(parents=True, exist_ok=True)
            _sync_folder(self._root / prefix)
        _sync_folder(self._root)

    def put(self, key: str, data: Data) -> None:
        temp = self._incoming / secrets.token_hex(12)
        try:
            with open(temp, "xb") as file:
                file.writelines(pieces_of(data))
                file.flush()
                os.fsync(file.fileno())
            self._publish(temp, key)
        except OSError as error:
            with suppress(OSError):
                temp.unlink(missing_ok=True)
            raise self._meaning(error, key) from error

    def adopt(self, key: str, path: Path) -> None:
        if self.size(key) is not None:
            path.unlink(missing_ok=True)
            return
        try:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
            self._publish(path, key)
        except OSError as error:
            raise self._meaning(error, key) from error

    def move(self, source: str, key: str) -> None:
        try:
            with open(self._root / source, "rb") as file:
                os.fsync(file.fileno())
            self._publish(self._root / source, key)
        except OSError as error:
            raise self._meaning(error, source) from error

    def get(self, key: str) -> bytes:
        try:
            return (self._root / key).read_bytes()
        except OSError as error:
            raise self._meaning(error, key) from error

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        data = self.get_up_to(key, offset, length)
        if len(data) < length:
            raise Corrupt(f"object {key} ends before byte {offset + length}")
        return data

    def get_up_to(self, key: str, offset: int, length: int) -> bytes:
        try:
            handle = os.open(self._root / key, os.O_RDONLY)
        except OSError as error:
            raise self._meaning(error, key) from error
        try:
            data = os.pread(handle, length, offset)
            while len(data) < length:  # one call stops at 2 GiB, or at the file's end
                more = os.pread(handle, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data
        except OSError as error:
            raise self._meaning(error, key) from error
        finally:
            os.close(handle)

    def size(self, key: str) -> int | None:
        try:
            return (self._root / key).stat().st_size
        except OSError as error:
            self._only_missing(error, key)
            return None

    def delete(self, key: str) -> None:
        try:
            (self._root / key).unlink()
        except OSError as error:
            self._only_missing(error, key)

    def begin_sending(self, key: str) -> str | None:
        return None

    def sending_url(self, key: str, id: str, lifetime: timedelta) -> str:
        raise ObjectMissing(key)  # there is no such id

    def send(self, key: str, id: str, data: Data) -> None:
        raise ObjectMissing(key)

    def finish_sending(self, key: str, id: str) -> bool:
        return False

    def drop_sendings(self, prefix: str, begun_before: datetime) -> int:
        return 0

    def signed_get(self, key: str, lifetime: timedelta) -> str | None:
        return None

    def _meaning(self, error: OSError, key: str) -> Exception:
        if isinstance(error, FileNotFoundError) and os.path.isdir(self._incoming):
            return ObjectMissing(key)
        return meaning_of(error)

    def _only_missing(self, error: OSError, key: str) -> None:
        """Raises what an error means unless the object is missing only."""
        meaning = self._meaning(error, key)
        if not isinstance(meaning, ObjectMissing):
            raise meaning from error

    def _publish(self, temp: Path, key: str) -> None:
        target = self._root / key
        if not target.parent.is_dir():
            self._make_folder(target.parent)
            _sync_folder(target.parent.parent)
        os.rename(temp, target)
        _sync_folder(target.parent)

    def _make_folder(self, folder: Path) -> None:
        """And those above it, but never the root: where that is gone, nothing may be written."""
        if folder.parent != self._root and not folder.parent.is_dir():
            self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def meaning_of(error: OSError) -> Exception:
    """What to raise for an error of the file system: Exhausted when there is no room, else Unavailable."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted(f"the disk of the store is full ({error.strerror}): free some space and try again")
    log.error("the store cannot be used: %s", error)
    return Unavailable(f"the folder of the store cannot be used ({error.strerror}); try again when it can")
