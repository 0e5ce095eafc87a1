"""The short way in for many files and big ones: packs written straight to the store, then one stream of entries.

One thread reads and cuts while others store and seal packs and the entries travel. What was sent before is not read
again, and what the target holds already is not sent again; an upload that was cut off goes on from its last sealed
pack. The outcome is a file set; whoever asked adds it to a commit (folders.py).
Elsewhere: reading and cutting (filling.py), what was sent before (recalling/), packs on their way
(storing.py), the stream of entries (entries.py).
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext

from datamill.bulk.local import LocalFile
from datamill.bulk.recalling.columns import NOWHERE, Known, place
from datamill.bulk.recalling.memory import Chunk, Memory, place_of
from datamill.bulk.recalling.questions import Questions
from datamill.bulk.recalling.recall import Recall
from datamill.bulk.sending.aims import Aim
from datamill.bulk.sending.entries import Entries
from datamill.bulk.sending.filling import Big, Filled, Filling, Small
from datamill.bulk.sending.stating import Blob, Entry
from datamill.bulk.sending.storing import Packs
from datamill.bulk.store import reach
from datamill.transport import Calls
from datamill.wire import content_v1_pb2 as content

STORING = 3  # threads that store packs: while one waits for the disk, another writes, another is checked

Progress = Callable[[int, int], None]


def file_set(calls: Calls, files: Iterable[LocalFile], aim: Aim, progress: Progress) -> tuple[str, list[LocalFile]]:
    """Store files.

    Returns the id of the file set that holds them ("" when it would be empty), and the files too big for this way.
    progress(files, bytes) is told what was added since it was told last. Raises Unsupported when the server has no
    content service; then nothing has been read. Raises Invalid when something that was remembered is gone.
    """
    with closing(reach(calls)) as way:
        memory = Memory(place_of(way.name, aim.branch, aim.source)) if aim.source and way.name else None
        with closing(memory) if memory is not None else nullcontext():
            upload = _Upload(Questions(calls, aim), Packs(calls, way), memory, progress)
            return upload.run(files)


class _Upload:
    def __init__(self, questions: Questions, packs: Packs, memory: Memory | None, progress: Progress) -> None:
        self._questions, self._packs, self._memory, self._progress = questions, packs, memory, progress
        self._top, self._held = questions.aim.top, questions.aim.held
        self._entries = Entries(questions.calls)

    def run(self, files: Iterable[LocalFile]) -> tuple[str, list[LocalFile]]:
        with ThreadPoolExecutor(STORING) as storing, ThreadPoolExecutor(2) as talking:
            sent = self._entries.start(talking)
            jobs: list[Future[None]] = []
            try:
                recall = Recall(self._questions, self._memory, talking)
                filling = Filling(recall.chunk, self._came, self._progress)
                for filled in self._full(files, recall, filling):
                    jobs[:] = [job for job in jobs if not _checked(job)]
                    jobs.append(storing.submit(self._store, filled, filling))
                for job in jobs:
                    job.result()
            except BaseException:
                storing.shutdown(wait=False, cancel_futures=True)
                self._entries.give_up()
                raise
            self._entries.end()
            return sent.result(), filling.too_big

    def _full(self, files: Iterable[LocalFile], recall: Recall, filling: Filling) -> Iterator[Filled]:
        """Every pack to be stored."""
        for file in recall.changed(files):
            yield from filling.read(file)
        again: list[LocalFile] = []
        for settled in recall.settle():
            self._entries.add(settled.entries)
            self._progress(settled.same + len(settled.entries), settled.size_bytes)
            again += settled.again
        for file in again:
            yield from filling.read(file)
        yield from filling.rest()

    def _store(self, filled: Filled, filling: Filling) -> None:
        same = list[Small]()
        try:
            if self._held is not None and filled.files:
                same = self._left_out(filled)
            pack = self._packs.store(filled.pack) if len(filled.pack) else b""
            entries, known = self._placed(filled, pack)
        finally:
            filling.give_back(filled)
        known += [Known(one.file.path, one.look, one.digest) for one in same if one.look is not None]
        self._entries.add(entries)
        self._remember(known, filled.chunks)
        size = sum(one.size_bytes for one in same) + filled.size_bytes
        self._progress(len(same) + len(filled.files), size)
        for big, _ in filled.chunks:
            self._came(big)

    def _left_out(self, filled: Filled) -> list[Small]:
        """The files that the target holds already; they are taken out of the pack."""
        there = self._questions.same([(one.file.path, one.digest) for one in filled.files])
        same = [one for number, one in enumerate(filled.files) if number in there]
        filled.files = [one for number, one in enumerate(filled.files) if number not in there]
        wanted = {one.digest for one in filled.files} | {extent.digest for _, extent in filled.chunks}
        filled.pack.without({one.digest for one in same} - wanted)
        return same

    def _placed(self, filled: Filled, pack: bytes) -> tuple[list[Entry], list[Known]]:
        """Entries of a pack's files; the chunks in it learn where they lie."""
        entries, known = list[Entry](), list[Known]()
        for one in filled.files:
            whole, spot = Blob(0, one.digest), NOWHERE
            if size := one.size_bytes:
                start = filled.pack.place(one.digest).offset
                whole, spot = Blob(size, one.digest, pack, start, size), place(pack, start)
            entries.append((self._top + one.file.path, whole))
            if one.look is not None:
                known.append(Known(one.file.path, one.look, one.digest, spot))
        for _, extent in filled.chunks:
            extent.pack_id, extent.offset_bytes = pack, filled.pack.place(extent.digest).offset
        return entries, known

    def _came(self, big: Big) -> None:
        """Count one part of a big file as done; the file is sent once it was the last."""
        if not big.one_came():
            return
        size = sum(extent.size_bytes for extent in big.extents)
        whole = content.Content(size_bytes=size, digest=big.digest, extents=big.extents)
        self._entries.add([(self._top + big.file.path, whole)])
        self._progress(1, 0)
        if big.look is not None:
            self._remember([Known(big.file.path, big.look, big.digest, whole=whole.SerializeToString())])

    def _remember(self, known: list[Known], chunks: Iterable[tuple[Big, content.Extent]] = ()) -> None:
        if self._memory is not None and (known or chunks):
            places = ((one.digest, Chunk(one.pack_id, one.offset_bytes, one.size_bytes)) for _, one in chunks)
            self._memory.keep(known, places)


def _checked(job: "Future[None]") -> bool:
    if job.done():
        job.result()
    return job.done()
