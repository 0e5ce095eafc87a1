"""Content packs: many blobs in one object, each found and checked by the BLAKE3 of its bytes.

Layout, for ever: the blobs one after another; a directory of entries (digest 32, offset u64, stored length u64,
codec u8; big-endian, sorted by digest); the trailer's end: count u64, magic 8, BLAKE3-256 of directory + count + magic.
Codec 0 is the bytes as they are, codec 1 one zstd frame that states its content size; the digest is of the decoded
bytes. A pack is named by 16 random bytes and is never changed once it counts.
Also here, since every writer must cut alike: big files are cut by FastCDC with frozen parameters (`cut`).
Elsewhere: which packs count (services/pfs/storage/packs.py); what a file is made of (services/pfs/domain/entries.py).
"""

import mmap
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import zstandard
from blake3 import blake3
from pyfastcdc import FastCDC

from services.kit.errors import Corrupt

TARGET_BYTES = 16 << 20  # a writer starts another pack once this one is so full
BIG_FILE_BYTES = 4 << 20  # files over this are cut into chunks
CHUNK_AVERAGE, CHUNK_MIN, CHUNK_MAX = 1 << 20, 256 << 10, 4 << 20
PIECE_BYTES = 64 << 10  # so long a blob is not worth copying
NAME_BYTES = 16
DIGEST_BYTES = 32
RAW, ZSTD = 0, 1
MAGIC = b"dmpack\x00\x01"
PACKS = "packs/"  # the object keys of all packs begin so
MAX_BLOB_BYTES = 64 << 20  # what a reader must be ready to hold

_ENTRY = struct.Struct(">32sQQB")
_END = struct.Struct(">Q8s32s")

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Blob:
    """Where a blob lies in its pack. digest: of the decoded bytes."""

    digest: bytes
    offset: int
    stored_bytes: int
    codec: int


class BadPack(Corrupt):
    """A pack is not what its trailer says."""


def pack_key(name: bytes) -> str:
    """The object key of the content pack `name`."""
    text = name.hex()
    return f"{PACKS}{text[:2]}/{text}"


def digest_of(data: Bytes) -> bytes:
    """BLAKE3-256."""
    return blake3(data).digest()


class PackBuilder:
    """A pack in memory. Equal blobs are kept once; big ones are not copied, so that nobody may change them."""

    def __init__(self) -> None:
        self._pieces: list[Bytes] = []
        self._small = bytearray()  # blobs at the end, too short to be pieces of their own
        self._blobs: dict[bytes, Blob] = {}
        self.size_bytes = 0

    @property
    def full(self) -> bool:
        return self.size_bytes >= TARGET_BYTES

    def __len__(self) -> int:
        return len(self._blobs)

    def add(self, data: Bytes, digest: bytes = b"") -> Blob:
        """Put `data` in, unless equal bytes are there already; say where they lie. digest: theirs, when it is known."""
        digest = digest or blake3(data).digest()
        blob = self._blobs.get(digest)
        if blob is None:
            blob = self._blobs[digest] = Blob(digest, self.size_bytes, len(data), RAW)
            self.size_bytes += len(data)
            if len(data) < PIECE_BYTES:
                self._small += data
            else:
                self._pieces += (self._small, data) if self._small else (data,)
                self._small = bytearray()
        return blob

    def pieces(self) -> list[Bytes]:
        """The whole pack, trailer included, in pieces."""
        end = trailer(self._blobs.values())
        return [*self._pieces, self._small, end] if self._small else [*self._pieces, end]

    def finish(self) -> bytes:
        """The same at once."""
        return b"".join(self.pieces())


def trailer(blobs: Iterable[Blob]) -> bytes:
    """The bytes that follow the blobs."""
    ordered = sorted(blobs, key=lambda blob: (blob.digest, blob.offset))
    directory = b"".join(_ENTRY.pack(blob.digest, blob.offset, blob.stored_bytes, blob.codec) for blob in ordered)
    signed = directory + struct.pack(">Q8s", len(ordered), MAGIC)
    return signed + blake3(signed).digest()


def read_directory(read: Callable[[int, int], bytes], size_bytes: int) -> list[Blob]:
    """The directory of a pack, checked against the trailer's hash but not against the blobs.

    read(offset, length) gives bytes of the pack.  Raises BadPack.
    """
    if size_bytes < _END.size:
        raise BadPack(f"a pack of {size_bytes} bytes is too short to have a trailer")
    end = read(size_bytes - _END.size, _END.size)
    count, magic, digest = _END.unpack(end)
    if magic != MAGIC:
        raise BadPack("the end of the pack is no pack trailer")
    body_bytes = size_bytes - _END.size - count * _ENTRY.size
    if body_bytes < 0:
        raise BadPack(f"the trailer names {count} blobs, more than fit into {size_bytes} bytes")
    directory = read(body_bytes, count * _ENTRY.size)
    if blake3(directory + end[:-DIGEST_BYTES]).digest() != digest:
        raise BadPack("the pack's trailer does not have the hash it states")
    blobs = [Blob(*fields) for fields in _ENTRY.iter_unpack(directory)]
    for blob in blobs:
        if blob.offset + blob.stored_bytes > body_bytes or blob.codec not in (RAW, ZSTD):
            raise BadPack(f"blob {blob.digest.hex()} lies outside the pack or has codec {blob.codec}")
    return blobs


def verify_pack(path: Path) -> list[Blob]:
    """Check every blob of the pack in this file against its hash. Raises BadPack. CPU-bound: call it on a thread."""
    if path.stat().st_size == 0:
        raise BadPack("the pack is empty")
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        return verify_bytes(view)


def verify_bytes(pack: Bytes) -> list[Blob]:
    """The same for a pack in memory."""
    with memoryview(pack) as view:
        blobs = read_directory(lambda offset, length: bytes(view[offset : offset + length]), len(view))
        for blob in blobs:
            with view[blob.offset : blob.offset + blob.stored_bytes] as stored:
                decode(stored, blob.codec, blob.digest)
    return blobs


def decode(stored: Bytes, codec: int, digest: bytes) -> Bytes:
    """The bytes of a blob, checked against its digest. Raises BadPack."""
    data = stored
    if codec == ZSTD:
        try:
            if zstandard.frame_content_size(stored) > MAX_BLOB_BYTES:
                raise BadPack(f"blob {digest.hex()} states a size over {MAX_BLOB_BYTES} bytes")
            data = zstandard.ZstdDecompressor().decompress(stored, max_output_size=MAX_BLOB_BYTES)
        except zstandard.ZstdError as error:
            raise BadPack(f"blob {digest.hex()} cannot be decoded: {error}") from error
    if blake3(data).digest() != digest:
        raise BadPack(f"blob {digest.hex()} does not have the hash it is stored under")
    return data


def cut(data: Bytes, *, last: bool) -> list[int]:
    """Lengths of the chunks at the start of `data` that are certain whatever follows; all of it when `last`.

    Cutting piece by piece gives the same chunks as cutting the whole: a chunk depends only on the bytes from its own
    start on, of which it looks at no more than CHUNK_MAX.
    """
    cutter = FastCDC(CHUNK_AVERAGE, min_size=CHUNK_MIN, max_size=CHUNK_MAX, normalized_chunking=1, seed=0)
    lengths: list[int] = []
    left = len(data)
    for chunk in cutter.cut_buf(data):
        if not last and left < CHUNK_MAX:
            break
        lengths.append(chunk.length)
        left -= chunk.length
    return lengths
