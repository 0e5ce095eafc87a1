"""Packs on their way to the store: straight there when this machine reaches it, else through the service."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from datamill.bulk.sending.packs import Pack
from datamill.bulk.signed import NotGiven
from datamill.bulk.store import Reach
from datamill.errors import Invalid
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content

PUT_BYTES = 4 << 20
SEAL_SECONDS = 300.0  # the service reads the pack again and makes it durable


@dataclass(frozen=True)
class Packs:
    """Safe for several threads."""

    calls: Calls
    reach: Reach

    def store(self, pack: Pack) -> bytes:
        """Store and seal a pack; its id."""
        calls, api = self.calls, self.calls.content
        started = calls.call(api.StartPack, content.StartPackRequest())
        if not (self._straight(started, pack) and self._sealed_as_sent(started)):
            calls.send(api.PutPack, lambda: _pieces_of(pack, started.pack_id))
            self._seal(started)
        return started.pack_id

    def _seal(self, started: content.StartPackResponse) -> None:
        request = content.SealPackRequest(pack_id=started.pack_id)
        self.calls.call(self.calls.content.SealPack, request, SEAL_SECONDS)

    def _sealed_as_sent(self, started: content.StartPackResponse) -> bool:
        """False: what lies there is not what was sent; it is gone, and can be sent another time."""
        try:
            self._seal(started)
        except Invalid:
            return False
        return True

    def _straight(self, started: content.StartPackResponse, pack: Pack) -> bool:
        """Write the pack to where the service will look for it; says whether that could be done."""
        if self.reach.root is not None and os.access(os.path.dirname(started.incoming_path), os.W_OK):
            with open(started.incoming_path, "wb") as file:
                file.write(pack.body())
                file.write(pack.trailer())
            return True
        if self.reach.signed is None or not started.put_url:
            return False
        body, trailer = pack.body(), pack.trailer()
        try:
            self.reach.signed.put(started.put_url, lambda: (body, trailer), len(body) + len(trailer))
        except NotGiven:
            return False  # the service says what is wrong, if anything is
        return True


def _pieces_of(pack: Pack, pack_id: bytes) -> Iterator[content.PutPackRequest]:
    yield content.PutPackRequest(pack_id=pack_id)
    body = pack.body()
    for start in range(0, len(body), PUT_BYTES):
        yield content.PutPackRequest(data=bytes(body[start : start + PUT_BYTES]))
    yield content.PutPackRequest(data=pack.trailer())
