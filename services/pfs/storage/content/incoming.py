"""Packs on their way into the store, written by callers themselves: where to, and how they come to lie where packs lie.

A caller that shares the store's folder writes the file incoming/<name>. Where the store is S3, a caller sends the pack
to where packs lie, but what it has sent is no object yet. This service does the same for callers that send their bytes
through it. Sealing moves or completes the pack first and checks it then, where no caller can change it any more.
Elsewhere: who may seal, and when a pack counts (operations/content.py).
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from services.kit.errors import Invalid
from services.kit.objects.local import meaning_of
from services.kit.objects.port import ObjectMissing, Objects
from services.kit.packs import BadPack, pack_key, verify_bytes, verify_pack

LARGEST_BYTES = 64 << 20  # of a pack that is checked in memory, where the store is no folder

TOO_LARGE = f"it has more than {LARGEST_BYTES} bytes"


def incoming_key(name: bytes) -> str:
    """The object key of a pack that is being written."""
    return f"incoming/{name.hex()}"


@dataclass(frozen=True)
class Incoming:
    """All calls block."""

    objects: Objects

    def prepare(self) -> None:
        """Make the folders that callers write to and read from, where there are folders."""
        if self.objects.root is not None:
            for folder in ("incoming", "packs"):
                (self.objects.root / folder).mkdir(parents=True, exist_ok=True)

    def path(self, name: bytes) -> Path | None:
        """Where the pack is written as a file; None when the store is no folder."""
        root = self.objects.root
        return None if root is None else root / incoming_key(name)

    def begin(self, name: bytes) -> str:
        """Let a caller send the pack by PUT: an id for `url` and `seal`, or "" when that is no way."""
        return self.objects.begin_sending(pack_key(name)) or ""

    def url(self, name: bytes, sending: str, lifetime: timedelta) -> str:
        """Where it is sent."""
        return self.objects.sending_url(pack_key(name), sending, lifetime)

    @contextmanager
    def receiving(self, name: bytes, sending: str) -> Iterator[BinaryIO]:
        """A file for the bytes of the pack, which is in its place, or sent, once the block has ended well."""
        place = self.path(name)
        if place is not None:
            part = place.with_suffix(".part")
            with _opened(part) as file:
                yield file
            part.rename(place)
            return
        with tempfile.TemporaryFile("w+b", 0, prefix="datamill-pack-") as file:
            yield file
            file.seek(0)
            data = file.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise Invalid(f"pack {name.hex()} does not count: {TOO_LARGE}")
        self.objects.send(pack_key(name), sending, data)

    def seal(self, name: bytes, sending: str) -> int:
        """Bring the pack to where packs lie, and check it. Says how many blobs it holds. May be repeated.

        Raises Invalid when the pack is not there or not what its trailer says; then nothing of it is left.
        """
        key = pack_key(name)
        sent = bool(sending) and self.objects.finish_sending(key, sending)
        if not sent and self.objects.size(key) is None:  # else a crash came before its row was changed
            self._move(name, key)
        try:
            root = self.objects.root
            blobs = verify_bytes(self._fetched(key)) if root is None else verify_pack(root / key)
        except BadPack as problem:
            self.objects.delete(key)
            raise Invalid(f"pack {name.hex()} does not count: {problem}") from problem
        except (ObjectMissing, FileNotFoundError) as error:
            raise Invalid(f"pack {name.hex()} has not been written") from error
        return len(blobs)

    def _fetched(self, key: str) -> bytes:
        """All of a pack, to be checked in memory."""
        data = self.objects.get_up_to(key, 0, LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise BadPack(TOO_LARGE)
        return data

    def _move(self, name: bytes, key: str) -> None:
        if self.objects.root is None:
            raise Invalid(f"pack {name.hex()} has not been written")
        try:
            self.objects.move(incoming_key(name), key)
        except ObjectMissing as error:
            raise Invalid(f"pack {name.hex()} has not been written") from error


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "wb", 0)
    except OSError as error:
        raise meaning_of(error) from error


def write(file: BinaryIO, data: bytes) -> None:
    """Add bytes to a pack that is being received. Raises Exhausted, Unavailable."""
    try:
        file.write(data)
    except OSError as error:
        raise meaning_of(error) from error
