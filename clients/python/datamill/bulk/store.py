"""The store as this process may reach it: as a folder, when it runs on the same machine as the service."""

from pathlib import Path

from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content


def shared_root(calls: Calls) -> Path | None:
    """The folder of sealed packs when this process sees it too, else None. Raises Unsupported."""
    store = calls.call(calls.content.GetStore, content.GetStoreRequest())
    if not store.local_root or not store.probe_path or not store.probe_value:
        return None
    try:
        found = Path(store.probe_path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return Path(store.local_root) if found == store.probe_value else None
