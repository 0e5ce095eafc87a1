"""The entries of a file set while its set runs: kept as bytes in memory, on disk once there are many."""

import tempfile
from collections.abc import Iterator

import grpc

from datamill.bulk.sending.stating import Batch, Stated
from datamill.wire import content_v1_pb2 as content
from services.worker.peers.calls import Patience, Peers, persist, trouble

MEMORY_BYTES = 8 << 20
PUT_SECONDS = 1800.0


class Entries:
    """Entries to be put as one file set. folder: on disk."""

    def __init__(self, folder: str) -> None:
        self._spool = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES, dir=folder)  # noqa: SIM115 - lives as long
        self._chunks: list[int] = []
        self._now = Batch()
        self.count = 0

    def add(self, path: str, datum: str, what: Stated) -> None:
        self._now.add(path, what, datum)
        self.count += 1
        if self._now.full:
            self._spill()

    def put(self, peers: Peers, patience: Patience) -> content.PutEntriesResponse:
        """Make the file set. Raises Trouble."""
        self._spill()

        def attempt() -> content.PutEntriesResponse:
            try:
                return peers.content.PutEntries(self._requests(), timeout=PUT_SECONDS, metadata=peers.metadata)
            except grpc.RpcError as error:
                raise trouble(error) from error

        return persist(attempt, patience, what="cannot name the outputs")

    def close(self) -> None:
        self._spool.close()

    def _spill(self) -> None:
        if self._now:
            self._chunks.append(self._spool.write(self._now.request().SerializeToString()))
            self._now = Batch()

    def _requests(self) -> Iterator[content.PutEntriesRequest]:
        self._spool.seek(0)
        for length in self._chunks:
            yield content.PutEntriesRequest.FromString(self._spool.read(length))
