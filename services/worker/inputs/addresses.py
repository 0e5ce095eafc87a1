"""Where packs are read when the store is S3: the signed URLs that came along with the answers about files."""

from collections.abc import Iterable

from datamill.bulk.signed import Signed
from datamill.wire import content_v1_pb2 as content

KEPT = 20_000  # some hundred bytes each; what is forgotten is read through PFS


class Addresses:
    """signed: None as long as this worker does not read the store by URLs. Shared by a worker's threads."""

    def __init__(self) -> None:
        self.signed: Signed | None = None
        self.urls: dict[bytes, str] = {}

    def learn(self, packs: Iterable[content.PackUrl]) -> None:
        """Remember URLs; a fresher one replaces the one before."""
        fresh = {pack.pack_id: pack.url for pack in packs}
        if len(self.urls) + len(fresh) > KEPT:
            self.urls.clear()
        self.urls.update(fresh)
