"""The store as this process may reach it: as a folder, by signed URLs, or not at all; then bytes go by the service."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content

if TYPE_CHECKING:
    from datamill.bulk.signed import Signed


@dataclass(frozen=True)
class Reach:
    """At most one of root and signed. root: the folder of sealed packs, on this machine. name: tells stores apart."""

    root: Path | None = None
    signed: "Signed | None" = None
    name: str = ""

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
            return Reach(name=store.probe_value)
        root = Path(store.local_root) if found == store.probe_value else None
        return Reach(root=root, name=store.probe_value)
    if store.probe_url and store.probe_value:
        straight: Any = importlib.import_module("datamill.bulk.signed")  # slow to import, and few need it
        signed: Signed = straight.Signed()
        if signed.holds(store.probe_url, store.probe_value):
            return Reach(signed=signed, name=store.probe_value)
        signed.close()
    return Reach(name=store.probe_value)
