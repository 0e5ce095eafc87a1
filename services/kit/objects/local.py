"""Objects as files below one folder.

Temp file, fsync, rename, fsync of the folder: a crash leaves garbage, never a hole.
"""

import errno
import os
import secrets
from datetime import timedelta
from pathlib import Path

from services.kit.errors import Corrupt, Exhausted
from services.kit.objects.port import Data, ObjectMissing, pieces_of


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
            temp.unlink(missing_ok=True)
            raise meaning_of(error) from error

    def adopt(self, key: str, path: Path) -> None:
        if self.size(key) is not None:
            path.unlink(missing_ok=True)
            return
        try:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
            self._publish(path, key)
        except OSError as error:
            raise meaning_of(error) from error

    def move(self, source: str, key: str) -> None:
        try:
            with open(self._root / source, "rb") as file:
                os.fsync(file.fileno())
            self._publish(self._root / source, key)
        except FileNotFoundError as error:
            raise ObjectMissing(source) from error
        except OSError as error:
            raise meaning_of(error) from error

    def get(self, key: str) -> bytes:
        try:
            return (self._root / key).read_bytes()
        except FileNotFoundError as error:
            raise ObjectMissing(key) from error

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        data = self.get_up_to(key, offset, length)
        if len(data) < length:
            raise Corrupt(f"object {key} ends before byte {offset + length}")
        return data

    def get_up_to(self, key: str, offset: int, length: int) -> bytes:
        try:
            handle = os.open(self._root / key, os.O_RDONLY)
        except FileNotFoundError as error:
            raise ObjectMissing(key) from error
        try:
            data = os.pread(handle, length, offset)
            while len(data) < length:  # one call stops at 2 GiB, or at the file's end
                more = os.pread(handle, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data
        finally:
            os.close(handle)

    def size(self, key: str) -> int | None:
        try:
            return (self._root / key).stat().st_size
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        (self._root / key).unlink(missing_ok=True)

    def signed_put(self, key: str, lifetime: timedelta) -> str | None:
        return None

    def signed_get(self, key: str, lifetime: timedelta) -> str | None:
        return None

    def _publish(self, temp: Path, key: str) -> None:
        target = self._root / key
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync_folder(target.parent.parent)
        os.rename(temp, target)
        _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def meaning_of(error: OSError) -> Exception:
    """What to raise for an error of the file system: Exhausted when there is no room."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted(f"the disk of the store is full ({error.strerror}): free some space and try again")
    return error
