"""/pfs/…: a file's content, a directory's entries, and the way there.

Elsewhere: what an address means (addresses.py); conditions and ranges (conditions.py); how entries look (pages.py).
"""

import asyncio
import mimetypes
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from urllib.parse import parse_qs, quote

from aiohttp.web import BaseRequest, Response, StreamResponse

from services.kit.storage.database import Database
from services.pfs.domain.files.file_errors import FileNotFound, SeveralFiles
from services.pfs.domain.files.paths import at, canonical
from services.pfs.domain.keys import CommitRef
from services.pfs.operations.batches import batches
from services.pfs.operations.files.contents import part_bytes
from services.pfs.operations.files.read import FileStat, Page, Reading, file_stat
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import TreeView, Views
from services.pfs.operations.refs import browsing
from services.pfs.web import addresses, answers, pages
from services.pfs.web.addresses import Address
from services.pfs.web.archive import spec
from services.pfs.web.conditions import Part, Unsatisfiable, Version, part_wanted, precondition
from services.pfs.web.streams import stream

A_PAGE = 1000  # entries that a browser shows at once
PIECES = 4  # of a batch
# Files are shown as they are, but run nothing: whoever may write a file must not act for whoever looks at it.
CONTENT_POLICY = (
    "default-src 'self' data:; style-src 'self' data: 'unsafe-inline'; script-src 'none'; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; sandbox allow-same-origin allow-popups"
)
UNGUARDED = "application/pdf"  # browsers show none in a sandbox, and what runs in one reaches nothing
TEXT = ("text/", "application/json", "application/javascript", "application/xml")


@dataclass(frozen=True)
class Files:
    """Answers for addresses below /pfs/."""

    db: Database
    views: Views
    stores: Stores

    async def answer(self, request: BaseRequest, raw: str, query: str) -> StreamResponse:
        """raw: the address after "/pfs/". Raises Problem."""
        address = addresses.read(raw)
        here = request.raw_path.partition("?")[0]
        if len(address.names) < 3 or not address.path:
            return await self._place(request, address) if address.closed else answers.moved(here + "/", query)
        reading = Reading(await self.views.open(address.commit))
        stat = await asyncio.to_thread(_found, reading, address.path, address.commit)
        if (stat.row is None) is not address.closed:
            return answers.moved(here.rstrip("/") if stat.row is not None else here + "/", query)
        common = answers.COMMON | {"Cache-Control": _caching(address.commit, reading.view)}
        if stat.row is None:
            return await self._directory(request, address, reading, common, query)
        return await self._file(request, reading, stat, common)

    async def _file(
        self, request: BaseRequest, reading: Reading, stat: FileStat, common: dict[str, str]
    ) -> StreamResponse:
        assert stat.row is not None
        version = Version(f'"{stat.digest.hex()}"', reading.view.committed)
        headers = {**common, "ETag": version.tag, "Accept-Ranges": "bytes", "Vary": "Origin"}
        if version.date:
            headers["Last-Modified"] = version.date
        if (status := precondition(request.headers, version)) != 200:
            return Response(status=status, headers=headers)
        try:
            part = part_wanted(request.headers, version, stat.size) if request.method == "GET" else None
        except Unsatisfiable:
            return answers.sentence(416, f"the file has {stat.size} bytes", {"Content-Range": f"bytes */{stat.size}"})
        headers |= _kind(stat.path.decode())
        whole = Part(0, stat.size - 1)
        if part is not None:
            headers["Content-Range"] = f"bytes {part.first}-{part.last}/{stat.size}"
        answer = StreamResponse(status=200 if part is None else 206, headers=headers)
        wanted = part or whole
        answer.content_length = wanted.size
        if request.method == "HEAD" or not wanted.size:
            return answer
        content = await asyncio.to_thread(reading.view.content, stat.row)
        read = batches(lambda: part_bytes(self.stores, content, wanted.first, wanted.size), most=PIECES)
        return await stream(request, answer, read)

    async def _directory(
        self, request: BaseRequest, address: Address, reading: Reading, common: dict[str, str], query: str
    ) -> StreamResponse:
        page = pages.prefers_html(request.headers.get("Accept", ""))
        after = parse_qs(query).get("after", [""])[0] if page else ""
        limit = A_PAGE + 1 if page else 0

        def entries() -> Iterator[pages.Item]:
            return map(_item, reading.children(address.path, Page(after.encode(), limit)))

        archive = spec.address([(*address.names, canonical(address.path))])
        return await _listing(request, address, entries, common, archive if page else None)

    async def _place(self, request: BaseRequest, address: Address) -> StreamResponse:
        """A project, a repo, or all projects; for three names the root of the commit comes by another way."""
        match len(address.names):
            case 0:
                found = await self.db.read(browsing.projects)
            case 1:
                found = await self.db.read(browsing.repos, address.names[0])
            case _:
                found = await self.db.read(browsing.branches, address.repo)
        front = "".join(f"/{name}" for name in address.names)
        items = [pages.Item(pages.FOLDER, place.size_bytes, f"{front}/{place.name}/") for place in found]
        common = answers.COMMON | {"Cache-Control": "private, no-cache"}
        return await _listing(request, address, lambda: iter(items), common, None)


async def _listing(
    request: BaseRequest,
    address: Address,
    entries: Callable[[], Iterator[pages.Item]],
    common: dict[str, str],
    archive: str | None,
) -> StreamResponse:
    page = pages.prefers_html(request.headers.get("Accept", ""))
    kind = "text/html" if page else "text/plain"
    headers = {**common, "Content-Type": f"{kind}; charset=utf-8", "Vary": "Accept, Origin"}
    if page:
        headers["Content-Security-Policy"] = pages.PAGE_POLICY
    answer = StreamResponse(headers=headers)
    if request.method == "HEAD":
        return answer
    if not page:
        return await stream(request, answer, batches(lambda: pages.as_lines(entries())))
    return await stream(request, answer, _page(address, entries, archive or ""))


async def _page(
    address: Address, entries: Callable[[], Iterator[pages.Item]], archive: str
) -> AsyncGenerator[list[bytes], None]:
    shown, more = 0, ""
    begin = [pages.top(_crumbs(address), up=bool(address.names))]
    async with aclosing(batches(entries)) as found:
        async for items in found:
            if archive and shown + len(items) > A_PAGE:
                items = items[: A_PAGE - shown]
                more = f"?after={quote(items[-1].path, safe='/')}"
            shown += len(items)
            yield [*begin, b"".join(map(pages.row, items))]
            begin = []
            if more:
                break
    yield [*begin, pages.bottom(shown, more=more, archive=archive)]


def _found(reading: Reading, path: str, asked: CommitRef) -> FileStat:
    """The file or directory at a path, which is no pattern. Raises FileNotFound, SeveralFiles."""
    clean = canonical(path)
    rows = [] if clean == "/" else list(islice(reading.rows(*at(clean)), 2))
    if len(rows) > 1:
        raise SeveralFiles()
    found = file_stat(rows[0]) if rows else reading.directory(clean.rstrip("/").encode() + b"/")
    if found is None and clean == "/":
        return FileStat(b"/", 0, b"")
    if found is None or not path.isprintable():
        raise FileNotFound(path, asked)
    return found


def _caching(asked: CommitRef, view: TreeView) -> str:
    """What is named by the id of a commit that is finished stays as it is."""
    return "private" if view.committed is not None and view.ref.id == asked.id else "private, no-cache"


def _kind(path: str) -> dict[str, str]:
    """What a browser is told of a file, by its name."""
    guessed, packed = mimetypes.guess_type(path)
    kind = "application/octet-stream" if guessed is None or packed else guessed
    if packed == "gzip":
        kind = "application/gzip"
    if kind == UNGUARDED:
        return {"Content-Type": kind}
    text = f"{kind}; charset=utf-8" if kind.startswith(TEXT) else kind
    return {"Content-Type": text, "Content-Security-Policy": CONTENT_POLICY}


def _item(stat: FileStat) -> pages.Item:
    return pages.Item(pages.FOLDER if stat.row is None else pages.FILE, stat.size, stat.path.decode())


def _crumbs(address: Address) -> Iterator[tuple[str, str]]:
    yield "files", addresses.written()
    for count in range(1, len(address.names) + 1):
        yield address.names[count - 1], addresses.written(*address.names[:count], "/")
    names = [name for name in address.path.split("/") if name]
    for count in range(1, len(names) + 1):
        yield names[count - 1], addresses.written(*address.names, "/" + "/".join(names[:count]) + "/")
