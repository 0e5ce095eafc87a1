"""What the service says of what it holds already: asked in few calls, each about many files or packs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from datamill.bulk.sending.aims import Aim
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content

ASKED = 4096  # files or packs in one question
RUNS_ASKED = 10_000


@dataclass(frozen=True)
class Questions:
    """Safe for several threads."""

    calls: Calls
    aim: Aim
    _live: set[bytes] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def same(self, files: Sequence[tuple[str, bytes]]) -> set[int]:
        """The numbers of the (path, digest) that the target holds so."""
        found = set[int]()
        for start in range(0, len(files), ASKED):
            some = files[start : start + ASKED]
            named = [content.KnownFile(path=self.aim.top + path, digest=digest) for path, digest in some]
            request = content.FindContentsRequest(commit=self.aim.held, files=named)
            found |= {start + number for number in self._ask(request).same}
        return found

    def same_runs(self, runs: Sequence[content.KnownRun]) -> set[int]:
        """The numbers of the runs that the target holds exactly so."""
        found = set[int]()
        for start in range(0, len(runs), RUNS_ASKED):
            some = runs[start : start + RUNS_ASKED]
            request = content.FindContentsRequest(commit=self.aim.held, runs=some)
            found |= {start + number for number in self._ask(request).same_runs}
        return found

    def alive(self, packs: set[bytes]) -> set[bytes]:
        """Those of the packs whose content may still be named."""
        with self._lock:
            asked = list(packs - self._live)
        for start in range(0, len(asked), ASKED):
            found = self._ask(content.FindContentsRequest(pack_ids=asked[start : start + ASKED])).live_pack_ids
            with self._lock:
                self._live.update(found)
        return packs & self._live

    def _ask(self, request: content.FindContentsRequest) -> content.FindContentsResponse:
        return self.calls.call(self.calls.content.FindContents, request)
