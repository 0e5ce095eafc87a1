"""Which bytes a datum's files are: asked for the whole set at once, taken as the answer streams in.

A set of a few thousand datums is one call; so is a datum of a million files, of which only what is in transit is held.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from datamill.wire import content_v1_pb2 as content
from datamill.wire import work_v1_pb2 as work
from services.worker.inputs.addresses import Addresses
from services.worker.peers.calls import Peers, trouble

WANTED_A_CALL = 2000


class Resolver:
    """The files of a set's datums, asked for in order; out of order costs a call. For one thread at a time."""

    def __init__(self, peers: Peers, addresses: Addresses, datums: Sequence[work.Datum]) -> None:
        self._peers = peers
        self._addresses = addresses
        self._datums = datums
        self._call: Any = None
        self._items: Iterator[content.ResolvedFile] = iter(())
        self._next_datum = -1  # the datum that the running answer comes to next
        self._last_datum = -1
        self._origin: list[tuple[int, int]] = []
        self._ahead: content.ResolvedFile | None = None

    def files(self, index: int) -> Iterator[tuple[int, content.ResolvedFile]]:
        """(number of the input, file) for each file of a datum. Raises Trouble; asking again starts anew."""
        if index != self._next_datum or index >= self._last_datum:
            self._ask(index)
        self._next_datum = -1  # until this datum is through, the answer is of no use to another
        try:
            while (item := self._take()) is not None:
                datum, number = self._origin[item.wanted]
                if datum != index:
                    self._ahead = item
                    break
                yield number, item
        except grpc.RpcError as error:
            raise trouble(error) from error
        self._next_datum = index + 1

    def close(self) -> None:
        """Stop the answer that is still running."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _take(self) -> content.ResolvedFile | None:
        if self._ahead is not None:
            item, self._ahead = self._ahead, None
            return item
        return next(self._items, None)

    def _ask(self, index: int) -> None:
        self.close()
        self._ahead = None
        self._origin = []
        request = content.ResolveFilesRequest(with_urls=self._addresses.signed is not None)
        for number, datum in enumerate(self._datums[index:], index):
            if self._origin and len(self._origin) + len(datum.inputs) > WANTED_A_CALL:
                break
            for position, item in enumerate(datum.inputs):
                request.wanted.add(commit=item.file.commit, path=item.file.path)
                self._origin.append((number, position))
            self._last_datum = number + 1
        if not self._origin:
            self._items = iter(())
            return
        self._call = self._peers.content.ResolveFiles(request, metadata=self._peers.metadata)
        self._items = self._files_of(self._call)

    def _files_of(self, call: Any) -> Iterator[content.ResolvedFile]:
        for answer in call:
            self._addresses.learn(answer.packs)
            yield from answer.files
