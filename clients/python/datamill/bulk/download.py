"""The short way out for many files: where their bytes lie is asked of the service, and they are read from the packs.

Every blob is held against its hash, since no service looks at it on the way. Needs the package blake3.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from datamill.bulk.local import inside
from datamill.errors import Corrupt
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs

PACKS_OPEN = 64
PLAIN = 0  # the codec of bytes as they are


class NotPlain(Exception):
    """Something is stored so that only the service can read it."""


def fetch(calls: Calls, file: pfs.File, root: Path, folder: Path, below: str, seen: Callable[[int, int], None]) -> int:
    """Write the files at and below a path into `folder`, their paths taken from `below` on. Returns how many.

    root: the folder of packs. Raises NotPlain, after which another way may begin anew; Corrupt, FileMissing.
    """
    request = content.ResolveFilesRequest(wanted=[content.Wanted(commit=file.commit, path=file.path)])
    made: set[Path] = set()
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with _packs(root) as read:
        for batch in calls.stream(calls.content.ResolveFiles, request):
            size = 0
            for found in batch.files:
                target = inside(folder, found.path, below)
                if target is None:
                    raise Corrupt(f"the server sent {found.path!r} as a file")
                if target.parent not in made:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    made.add(target.parent)
                _write(target, found.content, read)
                size += found.content.size_bytes
            count += len(batch.files)
            seen(len(batch.files), size)
    return count


Read = Callable[[content.Extent], bytes]


def _write(target: Path, whole: content.Content, read: Read) -> None:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        for extent in whole.extents:
            view = memoryview(read(extent))
            while view:
                view = view[os.write(handle, view) :]
    finally:
        os.close(handle)


@contextmanager
def _packs(root: Path) -> Iterator[Read]:
    """Reads extents, keeping the packs used last open."""
    handles: OrderedDict[bytes, int] = OrderedDict()

    def read(extent: content.Extent) -> bytes:
        if extent.codec != PLAIN:
            raise NotPlain
        handle = handles.get(extent.pack_id)
        if handle is None:
            name = extent.pack_id.hex()
            try:
                handle = os.open(root / name[:2] / name, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:  # perhaps not ours to read; the service says what is wrong, if anything is
                raise NotPlain from error
            handles[extent.pack_id] = handle
            if len(handles) > PACKS_OPEN:
                os.close(handles.popitem(last=False)[1])
        else:
            handles.move_to_end(extent.pack_id)
        data = os.pread(handle, extent.stored_bytes, extent.offset_bytes)
        if len(data) != extent.size_bytes or blake3(data).digest() != extent.digest:
            raise Corrupt(f"pack {extent.pack_id.hex()} does not hold what it should at byte {extent.offset_bytes}")
        return data

    try:
        yield read
    finally:
        for handle in handles.values():
            os.close(handle)
