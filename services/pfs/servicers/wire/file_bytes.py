"""Files as messages of the wire, written down without making the messages: a listing is mostly these.

A file costs a few look-ups and one join; whatever is no plain file of a block goes through the generated class.
Elsewhere: the messages of one file or directory (file_wire.py); blocks (operations/files/visits.py).
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import chain, repeat

from datamill.wire import trees_v1_pb2 as trees
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.files.read import Found
from services.pfs.operations.files.visits import Block
from services.pfs.servicers.wire.file_wire import FileInfos, TreeEntries

KEPT_SIZES = 16_384  # written forms that are remembered
_COMMIT, _FILE, _PATH_IN_FILE, _DATUM = b"\x0a", b"\x0a", b"\x12", b"\x1a"
_ENTRY, _PATH = b"\x0a", b"\x0a"


def varint(number: int) -> bytes:
    """As protobuf writes numbers."""
    if number < 0x80:
        return bytes((number,))
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def field(tag: bytes, value: bytes) -> bytes:
    """A field of bytes."""
    return tag + varint(len(value)) + value


class _Sizes(dict[int, bytes]):
    """What stands before a digest: the size, unless it is 0, and the digest's tag and length."""

    def __init__(self, size_tag: bytes, digest_tag: bytes) -> None:
        self._tag, self._digest = size_tag, digest_tag + b"\x20"

    def __missing__(self, size: int) -> bytes:
        found = (self._tag + varint(size) if size else b"") + self._digest
        if len(self) < KEPT_SIZES:
            self[size] = found
        return found


_INFO_SIZES, _ENTRY_SIZES = _Sizes(b"\x20", b"\x2a"), _Sizes(b"\x10", b"\x1a")


class FileInfoBytes:
    """pfs_v2.FileInfo of each file of one commit."""

    def __init__(self, ref: CommitRef, committed: datetime | None) -> None:
        self._single = FileInfos(ref, committed)
        message = self._single.of_file
        self._commit = field(_COMMIT, message.file.commit.SerializeToString())
        rest = type(message)()
        rest.CopyFrom(message)
        rest.ClearField("file")
        self._rest: bytes = rest.SerializeToString()  # these fields come after `file` and before the size

    def __call__(self, found: Found) -> list[bytes]:
        """One message after the other."""
        if isinstance(found, Block):
            return self._of_block(found)
        return [self._single(found).SerializeToString()]

    def _of_block(self, block: Block) -> list[bytes]:
        datum = field(_DATUM, block.datum) if block.datum else b""
        lengths = list(map(len, block.paths))
        heads = {length: self._head(length, len(datum)) for length in set(lengths)}
        parts = zip(
            map(heads.__getitem__, lengths),
            block.paths,
            repeat(datum + self._rest),
            map(_INFO_SIZES.__getitem__, block.sizes),
            block.digests,
            strict=False,
        )
        return list(map(b"".join, parts))

    def _head(self, path: int, datum: int) -> bytes:
        inside = self._commit + _PATH_IN_FILE + varint(path)
        return _FILE + varint(len(inside) + path + datum) + inside


def _element(entry: trees.TreeEntry) -> bytes:
    return field(_ENTRY, entry.SerializeToString())


class TreeEntryBytes:
    """datamill.trees.v1.TreeEntry, as elements of a response's only field."""

    def __init__(self, entries: TreeEntries) -> None:
        self._entries = entries
        self._heads: dict[tuple[int, int], bytes] = {}

    def __call__(self, found: Found) -> tuple[int, bytes]:
        """How many, and all of them."""
        if not isinstance(found, Block):
            return 1, _element(self._entries(found))
        if self._entries.captures is not None:
            each = map(self._entries.of, found.paths, found.sizes, found.digests, found.paths)
            return len(found.paths), b"".join(map(_element, each))
        return len(found.paths), self._of_block(found)

    def _of_block(self, block: Block) -> bytes:
        ends = list(map(_ENTRY_SIZES.__getitem__, block.sizes))
        lengths: Iterable[tuple[int, int]] = zip(map(len, block.paths), map(len, ends), strict=True)
        heads = [self._heads.get(each) or self._head(*each) for each in lengths]
        return b"".join(chain.from_iterable(zip(heads, block.paths, ends, block.digests, strict=True)))

    def _head(self, path: int, end: int) -> bytes:
        inside = _PATH + varint(path)
        found = self._heads[path, end] = _ENTRY + varint(len(inside) + path + end + 32) + inside
        return found
