"""The ways to a file's bytes: from packs in a shared folder, from packs at signed URLs, or else streamed by PFS."""

import logging
from collections.abc import Iterator
from pathlib import Path

import grpc
from blake3 import blake3

from datamill.bulk.fetching.reading import FromUrls, NotPlain, Part
from datamill.bulk.signed import Signed
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.errors import Corrupt
from services.kit.packs import Bytes, decode
from services.worker.inputs.addresses import Addresses
from services.worker.inputs.layout import Source, Wanted
from services.worker.inputs.reading import PackFolder
from services.worker.peers.calls import Peers, Trouble, trouble

log = logging.getLogger(__name__)
STREAM_SECONDS = 600.0


class SharedFolder:
    """Reads packs as files."""

    def __init__(self, root: Path) -> None:
        self._packs = PackFolder(root)

    def small(self, files: list[Wanted]) -> Iterator[Bytes]:
        blobs = self._packs.read([extent for file in files for extent in file.content.extents])
        for file in files:
            count = len(file.content.extents)
            yield b"".join([next(blobs) for _ in range(count)]) if count != 1 else next(blobs)

    def pieces(self, file: Wanted) -> Iterator[Bytes]:
        return self._packs.read(file.content.extents)

    def close(self) -> None:
        self._packs.close()


class Streamed:
    """Asks PFS for each file; slower, and works from anywhere."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    def small(self, files: list[Wanted]) -> Iterator[Bytes]:
        for file in files:
            yield b"".join(self.pieces(file))

    def pieces(self, file: Wanted) -> Iterator[Bytes]:
        request = pfs.GetFileRequest(file=pfs.File(commit=file.commit, path=file.path))
        digest = blake3()
        try:
            for piece in self._peers.files.GetFile(request, timeout=STREAM_SECONDS, metadata=self._peers.metadata):
                digest.update(piece.value)
                yield piece.value
        except grpc.RpcError as error:
            raise trouble(error) from error
        if digest.digest() != file.content.digest:
            raise Trouble(f"{file.path} does not have the hash it is stored under")

    def close(self) -> None:
        pass


class ByUrl:
    """Reads packs by ranges, some ahead; what cannot be had that way (a URL has ended) is streamed by PFS."""

    def __init__(self, signed: Signed, addresses: Addresses, streamed: Streamed) -> None:
        self._reader = FromUrls(signed, addresses.urls, _decoded)
        self._streamed = streamed

    def small(self, files: list[Wanted]) -> Iterator[Bytes]:
        found: list[list[bytes]] = [[] for _ in files]
        try:
            for number, data in self._reader.read(_parts(files)):
                if data is not None:
                    found[number].append(data)
        except NotPlain as why:
            log.info("%d files are read through PFS: %s", len(files), why.__cause__ or "no URL")
            yield from self._streamed.small(files)
            return
        yield from (pieces[0] if len(pieces) == 1 else b"".join(pieces) for pieces in found)

    def pieces(self, file: Wanted) -> Iterator[Bytes]:
        done = 0
        try:
            for _, data in self._reader.read(_parts([file])):
                if data is not None:
                    yield data
                    done += len(data)
            return
        except NotPlain as why:
            log.info("the rest of %s is read through PFS: %s", file.path, why.__cause__ or "no URL")
        for piece in self._streamed.pieces(file):
            skipped = min(done, len(piece))
            done -= skipped
            yield piece[skipped:]

    def close(self) -> None:
        self._reader.close()


class Store:
    """Which way this worker takes, found out once."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._root: Path | None = None
        self._known = False
        self.addresses = Addresses()

    def shared_root(self) -> Path | None:
        """The folder of packs when this process reads and writes the same one as PFS. Raises Trouble."""
        self._find_out()
        return self._root

    def signed(self) -> Signed | None:
        """How packs are read and written at their URLs, when this process reaches the store so. Raises Trouble."""
        self._find_out()
        return self.addresses.signed

    def source(self) -> Source:
        """A reader for one thread. Raises Trouble."""
        self._find_out()
        streamed = Streamed(self._peers)
        if self._root is not None:
            return SharedFolder(self._root)
        signed = self.addresses.signed
        return streamed if signed is None else ByUrl(signed, self.addresses, streamed)

    def _find_out(self) -> None:
        if self._known:
            return
        answer = self._peers.ask(self._peers.content.GetStore, content.GetStoreRequest())
        if _same(answer):
            self._root = Path(answer.local_root)
        elif answer.probe_url:
            signed = Signed()
            if signed.holds(answer.probe_url, answer.probe_value):
                self.addresses.signed = signed
        self._known = True
        way = f"through {self._root}" if self._root else "to the store" if self.addresses.signed else "through PFS"
        log.info("content goes %s", way)


def _parts(files: list[Wanted]) -> Iterator[Part[int]]:
    return ((number, extent) for number, file in enumerate(files) for extent in file.content.extents)


def _decoded(data: bytes, extent: content.Extent) -> bytes:
    try:
        return bytes(decode(data, extent.codec, extent.digest))
    except Corrupt as error:
        raise Trouble(f"pack {extent.pack_id.hex()}: {error}") from error


def _same(answer: content.GetStoreResponse) -> bool:
    if not answer.local_root or not answer.probe_path:
        return False
    try:
        return (Path(answer.local_root) / answer.probe_path).read_text() == answer.probe_value
    except OSError:
        return False
