"""Turns outputs into content: bytes go into packs, written once, straight into the store where it is a folder.

Content that this worker has just read from the store, or has written before in the set, is named and not written again.
A pack is begun by StartPack, written to the place that the answer names (a file, or a signed URL of an S3 store), and
counts once SealPack has checked it.
Elsewhere: the pack's format and how big files are cut (kit/packs.py).
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc
from blake3 import blake3

from datamill.bulk.sending.stating import Blob
from datamill.bulk.signed import NotGiven, Signed
from datamill.wire import content_v1_pb2 as content
from services.kit import packs
from services.worker.peers.calls import Patience, Peers, persist, trouble

log = logging.getLogger(__name__)
T = TypeVar("T")
FLUSH_BYTES = 1 << 20
READ_BYTES = 8 << 20
PUT_BYTES = 1 << 20
KNOWN_LIMIT = 10_000
PUT_SECONDS = 600.0


class Packing:
    """The packs of one set. spool: a path on disk for packs of a store that is no folder here.

    signed: how such packs are sent to the store; None when they have to go through PFS.
    """

    def __init__(
        self, peers: Peers, *, shared: bool, signed: Signed | None, spool: str, patience: Callable[[], Patience]
    ) -> None:
        self._peers = peers
        self._shared = shared
        self._signed = signed
        self._spool = spool
        self._patience = patience
        self._known: dict[bytes, content.Extent | Blob] = {}
        self._pack: _Pack | None = None

    def know(self, what: Blob | content.Content) -> None:
        """Content that is in the store already."""
        if len(self._known) >= KNOWN_LIMIT:
            return
        if isinstance(what, content.Content):
            self._known.update({extent.digest: extent for extent in what.extents})
        elif what.pack_id:
            self._known[what.digest] = what

    def add(self, data: bytes) -> Blob:
        """Content of at most BIG_FILE_BYTES. Raises Trouble."""
        digest = blake3(data).digest()
        return self._store(data, digest) if data else Blob(0, digest)

    def add_file(self, path: str) -> content.Content | Blob:
        """The content of a file. Raises Trouble, or OSError when the file cannot be read."""
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(handle, packs.BIG_FILE_BYTES + 1)
            if len(data) <= packs.BIG_FILE_BYTES:
                while more := os.read(handle, packs.BIG_FILE_BYTES + 1 - len(data)):
                    data += more
                if len(data) <= packs.BIG_FILE_BYTES:
                    return self.add(data)
            return self._add_big(data, handle)
        finally:
            os.close(handle)

    def seal(self) -> None:
        """Make everything added so far count. Raises Trouble."""
        pack, self._pack = self._pack, None
        if pack is not None:
            pack.seal()

    def abandon(self) -> None:
        """Forget what is not sealed; the store's collector finds the reserved pack."""
        pack, self._pack = self._pack, None
        if pack is not None:
            pack.remove()

    def _add_big(self, data: bytes, handle: int) -> content.Content:
        whole = blake3(data)
        made = content.Content(size_bytes=len(data))
        more = b"x"
        while more:
            more = os.read(handle, READ_BYTES)
            whole.update(more)
            made.size_bytes += len(more)
            data += more
            at = 0
            for length in packs.cut(data, last=not more):
                piece = data[at : at + length]
                made.extents.append(_extent(self._store(piece, blake3(piece).digest())))
                at += length
            data = data[at:]
        made.digest = whole.digest()
        return made

    def _store(self, data: bytes, digest: bytes) -> Blob:
        known = self._known.get(digest)
        if known is not None:
            return known if isinstance(known, Blob) else _blob(known)
        if self._pack is not None and self._pack.full:
            self.seal()
        if self._pack is None:
            place = self._start()
            self._pack = _Pack(
                self._peers, place, self._patience, shared=self._shared, signed=self._signed, spool=self._spool
            )
        blob = self._pack.add(data, digest)
        if len(self._known) < KNOWN_LIMIT:
            self._known[digest] = blob
        return blob

    def _start(self) -> content.StartPackResponse:
        request = content.StartPackRequest(pack_id=os.urandom(16))
        return persist(
            lambda: self._peers.ask(self._peers.content.StartPack, request),
            self._patience(),
            what="cannot start a pack",
        )


def _blob(extent: content.Extent) -> Blob:
    return Blob(
        extent.size_bytes, extent.digest, extent.pack_id, extent.offset_bytes, extent.stored_bytes, extent.codec
    )


def _listed(blob: Blob) -> packs.Blob:
    return packs.Blob(blob.digest, blob.offset_bytes, blob.stored_bytes, blob.codec)


def _extent(blob: Blob) -> content.Extent:
    return content.Extent(
        pack_id=blob.pack_id,
        offset_bytes=blob.offset_bytes,
        stored_bytes=blob.stored_bytes,
        codec=blob.codec,
        size_bytes=blob.size_bytes,
        digest=blob.digest,
    )


class _Pack:
    """A pack being written. A write that fails half-way is repeated at the same place."""

    def __init__(
        self,
        peers: Peers,
        place: content.StartPackResponse,
        patience: Callable[[], Patience],
        *,
        shared: bool,
        signed: Signed | None,
        spool: str,
    ) -> None:
        self.id = place.pack_id
        self._url, self._signed = place.put_url, signed
        self._peers = peers
        self._patience = patience
        self._shared = shared and bool(place.incoming_path)
        self._path = place.incoming_path if self._shared else f"{spool}-{place.pack_id.hex()}"
        self._handle = self._try(lambda: os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644))
        self._blobs: dict[bytes, Blob] = {}
        self._waiting = bytearray()
        self._flushed = 0

    @property
    def full(self) -> bool:
        return self._flushed + len(self._waiting) >= packs.TARGET_BYTES

    def add(self, data: bytes, digest: bytes) -> Blob:
        blob = self._blobs.get(digest)
        if blob is None:
            size = len(data)
            blob = Blob(size, digest, self.id, self._flushed + len(self._waiting), size, packs.RAW)
            self._waiting += data
            if len(self._waiting) >= FLUSH_BYTES:
                self._flush()
            self._blobs[digest] = blob  # after the flush: a blob that could not be written is not there
        return blob

    def seal(self) -> None:
        try:
            self._waiting += packs.trailer(map(_listed, self._blobs.values()))
            self._flush()
            self._try(lambda: os.fsync(self._handle))
            request = content.SealPackRequest(pack_id=self.id)
            if not self._shared:
                self._try(self._put)
            self._try(lambda: self._peers.ask(self._peers.content.SealPack, request, timeout=PUT_SECONDS))
        except BaseException:
            self.remove()
            raise
        os.close(self._handle)
        if not self._shared:
            os.unlink(self._path)

    def remove(self) -> None:
        os.close(self._handle)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _flush(self) -> None:
        data = bytes(self._waiting)
        self._try(lambda: self._write(data))
        self._flushed += len(data)
        self._waiting.clear()

    def _write(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._handle, data[done:] if done else data, self._flushed + done)

    def _put(self) -> None:
        if self._signed is not None and self._url:
            try:
                self._signed.put(self._url, self._read, self._flushed)
            except NotGiven as error:
                log.info("pack %s goes through PFS: %s", self.id.hex(), error)
            else:
                return
        try:
            self._peers.content.PutPack(self._pieces(), timeout=PUT_SECONDS, metadata=self._peers.metadata)
        except grpc.RpcError as error:
            raise trouble(error) from error

    def _pieces(self) -> Iterator[content.PutPackRequest]:
        yield content.PutPackRequest(pack_id=self.id)
        for data in self._read():
            yield content.PutPackRequest(data=data)

    def _read(self) -> Iterator[bytes]:
        offset = 0
        while data := os.pread(self._handle, PUT_BYTES, offset):
            yield data
            offset += len(data)

    def _try(self, attempt: Callable[[], T]) -> T:
        return persist(attempt, self._patience(), what="cannot write outputs to the store")
