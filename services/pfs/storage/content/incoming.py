"""Packs on their way into the store, written by callers themselves: where to, and how they come to lie where packs lie.

A caller writes to the key incoming/<name>: as a file when it shares the store's folder, by a signed URL when the store
is S3. Sealing moves the pack first and checks it then, where no caller can change it any more.
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

    def url(self, name: bytes, lifetime: timedelta) -> str:
        """Where it is sent by PUT; "" when that is no way."""
        return self.objects.signed_put(incoming_key(name), lifetime) or ""

    @contextmanager
    def receiving(self, name: bytes) -> Iterator[BinaryIO]:
        """A file for the bytes of the pack, which is in its place once the block has ended well."""
        place = self.path(name)
        if place is not None:
            part = place.with_suffix(".part")
            with _opened(part) as file:
                yield file
            part.rename(place)
            return
        with tempfile.TemporaryDirectory(prefix="datamill-pack-") as folder:
            part = Path(folder) / "part"
            with open(part, "wb", 0) as file:
                yield file
            self.objects.delete(incoming_key(name))  # else what came before would be kept
            self.objects.adopt(incoming_key(name), part)

    def seal(self, name: bytes) -> int:
        """Move the pack to where packs lie, and check it. Says how many blobs it holds. May be repeated.

        Raises Invalid when the pack is not there or not what its trailer says; then nothing of it is left.
        """
        key = pack_key(name)
        if self.objects.size(key) is None:  # else it was moved before, but a crash came before its row was changed
            self._move(name, key)
        try:
            root = self.objects.root
            blobs = verify_bytes(self.objects.get(key)) if root is None else verify_pack(root / key)
        except BadPack as problem:
            self.objects.delete(key)
            raise Invalid(f"pack {name.hex()} does not count: {problem}") from problem
        except (ObjectMissing, FileNotFoundError) as error:
            raise Invalid(f"pack {name.hex()} has not been written") from error
        return len(blobs)

    def _move(self, name: bytes, key: str) -> None:
        size = self.objects.size(incoming_key(name))
        if size is not None and size > LARGEST_BYTES and self.objects.root is None:
            self.objects.delete(incoming_key(name))
            raise Invalid(f"pack {name.hex()} does not count: it has {size} bytes, more than {LARGEST_BYTES}")
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
