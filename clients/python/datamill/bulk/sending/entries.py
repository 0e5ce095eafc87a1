"""The stream that names what was stored, and becomes a file set: sent while packs are still being filled."""

import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from datamill.bulk.sending.stating import Batch, Entry
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content


class _GivenUp(Exception):
    """The files could not all be read or stored, so that the entries sent so far must not become a set."""


@dataclass(frozen=True)
class Entries:
    """Safe for several threads."""

    calls: Calls
    _waiting: "queue.SimpleQueue[list[Entry] | None]" = field(default_factory=queue.SimpleQueue)

    def start(self, thread: ThreadPoolExecutor) -> "Future[str]":
        """Send on a thread what is added; the id of the file set, or "" when there was nothing to say."""
        return thread.submit(self._send)

    def add(self, entries: list[Entry]) -> None:
        if entries:
            self._waiting.put(entries)

    def end(self) -> None:
        """All has been added."""
        self._waiting.put([])

    def give_up(self) -> None:
        """What was added must not become a set."""
        self._waiting.put(None)

    def _send(self) -> str:
        first = self._waiting.get()
        if not first:
            return ""

        def requests() -> Iterator[content.PutEntriesRequest]:
            entries: list[Entry] | None = first
            batch = Batch()
            while entries:
                for path, what in entries:
                    batch.add(path, what)
                    if batch.full:
                        yield batch.request()
                        batch = Batch()
                if batch and self._waiting.empty():
                    yield batch.request()
                    batch = Batch()
                entries = self._waiting.get()
            if entries is None:
                raise _GivenUp
            if batch:
                yield batch.request()

        try:
            return self.calls.send(self.calls.content.PutEntries, requests).file_set_id
        except _GivenUp:
            return ""
