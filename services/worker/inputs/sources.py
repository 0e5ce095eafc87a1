"""The two ways to a file's bytes: from packs in a shared folder, or streamed by PFS where no folder is shared."""

import logging
from collections.abc import Iterator
from pathlib import Path

import grpc
from blake3 import blake3

from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.packs import Bytes
from services.worker.calls import Peers, Trouble, trouble
from services.worker.inputs.layout import Source, Wanted
from services.worker.inputs.reading import PackFolder

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


class Store:
    """Which way this worker takes, found out once."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._root: Path | None = None
        self._known = False

    def shared_root(self) -> Path | None:
        """The folder of packs when this process reads and writes the same one as PFS. Raises Trouble."""
        if not self._known:
            answer = self._peers.ask(self._peers.content.GetStore, content.GetStoreRequest())
            self._root = Path(answer.local_root) if _same(answer) else None
            self._known = True
            log.info("content goes %s", f"through {self._root}" if self._root else "through PFS")
        return self._root

    def source(self) -> Source:
        """A reader for one thread. Raises Trouble."""
        root = self.shared_root()
        return SharedFolder(root) if root is not None else Streamed(self._peers)


def _same(answer: content.GetStoreResponse) -> bool:
    if not answer.local_root or not answer.probe_path:
        return False
    try:
        return (Path(answer.local_root) / answer.probe_path).read_text() == answer.probe_value
    except OSError:
        return False
