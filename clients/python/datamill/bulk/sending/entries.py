"""The stream that names what was stored, and becomes a file set: sent while packs are still being filled."""

import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content

ENTRIES = 4096  # in one message, which must stay under 20 MiB with the longest of paths


class _GivenUp(Exception):
    """The files could not all be read or stored, so that the entries sent so far must not become a set."""


@dataclass(frozen=True)
class Entries:
    """Safe for several threads."""

    calls: Calls
    _waiting: "queue.SimpleQueue[list[content.Entry] | None]" = field(default_factory=queue.SimpleQueue)

    def start(self, thread: ThreadPoolExecutor) -> "Future[str]":
        """Send on a thread what is added; the id of the file set, or "" when there was nothing to say."""
        return thread.submit(self._send)

    def add(self, entries: list[content.Entry]) -> None:
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
            batch: list[content.Entry] | None = first
            while batch:
                for start in range(0, len(batch), ENTRIES):
                    yield content.PutEntriesRequest(entries=batch[start : start + ENTRIES])
                batch = self._waiting.get()
            if batch is None:
                raise _GivenUp

        try:
            return self.calls.send(self.calls.content.PutEntries, requests).file_set_id
        except _GivenUp:
            return ""
