"""Bytes of files, straight from the packs of a store that is a folder of this machine.

Neighbours in a pack are read by one call, over gaps of up to 256 KiB. Every blob is checked against its hash.
Elsewhere: which bytes (resolving.py); a store that is no folder here (remote.py).
"""

import errno
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

from datamill.wire import content_v1_pb2 as content
from services.kit.errors import Corrupt
from services.kit.packs import Bytes, decode
from services.worker.peers.calls import Trouble

JOIN_GAP_BYTES = 256 << 10
JOIN_BYTES = 4 << 20
OPEN_PACKS = 64


class PackFolder:
    """Sealed packs below `root`; keeps some of them open. For one thread."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def read(self, extents: Sequence[content.Extent]) -> Iterator[Bytes]:
        """The decoded bytes of each extent, in order. Raises Trouble for a pack that is missing, short or corrupt."""
        for run in _runs(extents):
            first, last = run[0], run[-1]
            base = first.offset_bytes
            stored = memoryview(self._pread(first.pack_id, base, last.offset_bytes + last.stored_bytes - base))
            for extent in run:
                at = extent.offset_bytes - base
                try:
                    yield decode(stored[at : at + extent.stored_bytes], extent.codec, extent.digest)
                except Corrupt as error:
                    raise Trouble(f"pack {first.pack_id.hex()}: {error}") from error

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def _pread(self, pack: bytes, offset: int, length: int) -> bytes:
        try:
            handle = self._handle(pack)
            data = os.pread(handle, length, offset)
            while len(data) < length:
                more = os.pread(handle, length - len(data), offset + len(data))
                if not more:
                    raise Trouble(f"pack {pack.hex()} ends before byte {offset + length}")
                data += more
        except OSError as error:
            raise Trouble(f"pack {pack.hex()} cannot be read: {os.strerror(error.errno or errno.EIO)}") from error
        return data

    def _handle(self, pack: bytes) -> int:
        handle = self._open.get(pack)
        if handle is None:
            name = pack.hex()
            handle = os.open(f"{self._root}/{name[:2]}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            self._open[pack] = handle
            if len(self._open) > OPEN_PACKS:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(pack)
        return handle


def _runs(extents: Sequence[content.Extent]) -> Iterator[list[content.Extent]]:
    run: list[content.Extent] = []
    end = 0
    for extent in extents:
        joins = (
            bool(run)
            and extent.pack_id == run[0].pack_id
            and 0 <= extent.offset_bytes - end <= JOIN_GAP_BYTES
            and extent.offset_bytes + extent.stored_bytes - run[0].offset_bytes <= JOIN_BYTES
        )
        if run and not joins:
            yield run
            run = []
        run.append(extent)
        end = extent.offset_bytes + extent.stored_bytes
    if run:
        yield run
