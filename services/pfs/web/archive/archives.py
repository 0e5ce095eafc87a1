"""/archive/<spec>.zip: a zip that is made while it is sent.

In the zip a file is project/repo/ref/path. What cannot be given is said in a file of the zip, since its status was sent
long before. References are looked up once, together.
Elsewhere: what is wanted (spec.py); the zip's form (zips.py).
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from aiohttp.web import BaseRequest, StreamResponse
from sqlalchemy.orm import Session

from services.kit.errors import Problem
from services.kit.sortedmap.rows import Row
from services.kit.storage.database import Database
from services.pfs.domain.files.file_errors import FileNotFound
from services.pfs.domain.files.paths import at, below, parents
from services.pfs.domain.keys import CommitRef
from services.pfs.domain.names import FILESETS_REPO
from services.pfs.operations.batches import batches
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.files.read import Reading
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import Views
from services.pfs.web import addresses, answers
from services.pfs.web.archive.spec import Entry, read_spec
from services.pfs.web.archive.zips import Zip
from services.pfs.web.streams import stream

log = logging.getLogger(__name__)
ERRORS = "@error.txt"
PIECES = 4  # of a batch
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Archives:
    """Answers for addresses below /archive/."""

    db: Database
    views: Views
    stores: Stores

    async def answer(self, request: BaseRequest, name: str) -> StreamResponse:
        """Raises BadSpec."""
        entries = read_spec(name)
        title = _PLAIN.sub("-", "-".join(entries[0][1:3])) if len({entry[:3] for entry in entries}) == 1 else "datamill"
        disposition = f'attachment; filename="{title}.zip"'
        headers = answers.COMMON | {"Content-Type": "application/zip", "Content-Disposition": disposition}
        answer = StreamResponse(headers=headers | {"Cache-Control": "private, no-cache"})
        if request.method == "HEAD":
            return answer
        return await stream(request, answer, self._zip(entries))

    async def _zip(self, entries: list[Entry]) -> AsyncGenerator[list[bytes], None]:
        archive, errors = Zip(self.stores), list[str]()
        meant = await self.db.read(_meant, [entry[:3] for entry in entries])
        for names, group in groupby(entries, key=lambda entry: entry[:3]):
            ref = meant[names]
            if isinstance(ref, Problem):
                errors.append(str(ref))
                continue
            folder, paths = "/".join(names), _outermost(entry[3] for entry in group)
            try:
                reading = Reading(await self.views.open(ref))
                for path in paths:
                    async with aclosing(batches(partial(_added, archive, folder, reading, path), PIECES)) as found:
                        async for pieces in found:
                            yield pieces
            except Problem as problem:
                errors.append(str(problem))
            except Exception:
                log.exception("an archive lacks some of its files")
                errors.append(f"{folder}: internal error")
        if errors:
            archive.note(ERRORS, "".join(f"{error}\n" for error in errors))
        yield await asyncio.to_thread(archive.close)


def _meant(tx: Session, wanted: Iterable[Entry]) -> dict[Entry, CommitRef | Problem]:
    """Which commit each reference means, all of them at one moment; or why none."""
    found = dict[Entry, CommitRef | Problem]()
    for names in wanted:
        if names in found:
            continue
        ref = addresses.commit_ref(addresses.repo_key(names[0], names[1]), names[2])
        try:
            if ref.repo.name != FILESETS_REPO:
                commit = resolve_commit(tx, ref)
                ref = CommitRef(commit.repo, commit.id)
            found[names] = ref
        except Problem as problem:
            found[names] = problem
    return found


def _outermost(paths: Iterable[str]) -> list[str]:
    """Without those that lie in others. paths: canonical, in order."""
    found = dict[str, None]()
    for path in paths:
        above = ("/", *parents(path)) if path != "/" else ()
        if path not in found and found.keys().isdisjoint(above):
            found[path] = None
    return list(found)


def _added(archive: Zip, folder: str, reading: Reading, path: str) -> Iterator[bytes]:
    """The zip's next bytes, which hold the file or all of the directory at a path. Raises FileNotFound, Corrupt."""
    yield from archive.add(folder, reading.view, _rows(reading, path))


def _rows(reading: Reading, path: str) -> Iterator[Row]:
    some = False
    spans = [below(path)] if path == "/" else [at(path), below(path)]
    for low, high in spans:
        for row in reading.rows(low, high):
            some = True
            yield row
        if some:
            return
    if path != "/":
        raise FileNotFound(path, reading.view.ref)
