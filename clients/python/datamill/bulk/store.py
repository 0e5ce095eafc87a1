"""The store as this process may reach it: as a folder, by signed URLs, or not at all; then bytes go by the service."""

from dataclasses import dataclass
from pathlib import Path

from datamill.bulk.signed import Signed
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content


@dataclass(frozen=True)
class Reach:
    """At most one of the two. root: the folder of sealed packs, on this machine."""

    root: Path | None = None
    signed: Signed | None = None

    def close(self) -> None:
        if self.signed is not None:
            self.signed.close()


def reach(calls: Calls) -> Reach:
    """How this process reaches the packs; close it. Raises Unsupported."""
    store = calls.call(calls.content.GetStore, content.GetStoreRequest())
    if store.local_root and store.probe_path and store.probe_value:
        try:
            found = Path(store.probe_path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return Reach()
        return Reach(root=Path(store.local_root)) if found == store.probe_value else Reach()
    if store.probe_url and store.probe_value:
        signed = Signed()
        if signed.holds(store.probe_url, store.probe_value):
            return Reach(signed=signed)
        signed.close()
    return Reach()
