"""The HTTP server of the file service: who may ask, how many at a time, and which part answers.

It goes through the same operations as gRPC, beside it. Nothing of a request is logged or traced but the kind of its
address, since addresses may hold a token. There is no access control yet: a token ("authn-token", in the query or a
header) is taken and not looked at, as by gRPC.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp.web import BaseRequest, Server, ServerRunner, StreamResponse, TCPSite
from opentelemetry import propagate, trace

from services.kit.errors import NotFound, Problem, Unavailable
from services.kit.rpc.server import PortInUse
from services.pfs.web import answers
from services.pfs.web.archive.archives import Archives
from services.pfs.web.files import Files
from services.pfs.web.origins import is_foreign
from services.pfs.web.schemas import schema

log = logging.getLogger(__name__)
AT_ONCE = 32  # each may hold a few MiB for a reader that takes its time
PATIENCE_SECONDS = 30.0
MOST_HEADER_BYTES = 64 << 10  # the address of an archive may be long
METHODS = ("GET", "HEAD")
KINDS = ("pfs", "archive", "jsonschema")


class Busy(Unavailable):
    def __init__(self) -> None:
        super().__init__("too many answers are being read; ask again")


@dataclass(frozen=True)
class Web:
    """around: entered for each call that reads. origins: of the pages of other sites that may ask."""

    files: Files
    archives: Archives
    around: Callable[[], AbstractContextManager[object]]
    origins: frozenset[str] = frozenset()
    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def handle(self, request: BaseRequest) -> StreamResponse:
        """Answer one request, whatever happens."""
        path, _, query = request.raw_path.partition("?")
        if path == "/healthz":
            return answers.sentence(200, "healthy")
        kind = path.split("/")[1] if path.startswith("/") else ""
        try:
            if refusal := self._refusal(request):
                return refusal
            with self._span(request, kind):
                async with self._turn():
                    with self.around():
                        return await self._answer(request, kind, path, query)
        except Problem as problem:
            return answers.of_problem(problem)
        except Exception:
            log.exception("a request failed")
            return answers.sentence(500, "internal error")

    def _refusal(self, request: BaseRequest) -> StreamResponse | None:
        """What is told to those who may not ask."""
        if request.method not in METHODS:
            return answers.sentence(405, "only GET and HEAD are answered here", {"Allow": ", ".join(METHODS)})
        if is_foreign(request.headers, self.origins):
            return answers.sentence(403, "refused: a page of another site asks (see --allow-origin of datamill up)")
        return None

    async def _answer(self, request: BaseRequest, kind: str, path: str, query: str) -> StreamResponse:
        rest = path[len(kind) + 2 :]
        if path in ("/", "/pfs"):
            return answers.moved("/pfs/", query)
        if kind == "pfs":
            return await self.files.answer(request, rest, query)
        if kind == "archive":
            return await self.archives.answer(request, rest)
        if kind == "jsonschema":
            return answers.json(schema(rest))
        raise NotFound(
            "nothing is served at this address; files are at /pfs/<project>/<repo>/<commit or branch>/<path>"
        )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Raises Busy."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.at_once.acquire()
        except TimeoutError:
            raise Busy() from None
        try:
            yield
        finally:
            self.at_once.release()

    def _span(self, request: BaseRequest, kind: str) -> AbstractContextManager[object]:
        return trace.get_tracer("datamill.web").start_as_current_span(
            f"{request.method} /{kind if kind in KINDS else ''}",
            context=propagate.extract(request.headers),
            kind=trace.SpanKind.SERVER,
            attributes={"http.request.method": request.method},
            record_exception=False,
            set_status_on_exception=False,
        )


class Listening:
    """A Web that listens. Make it with `Listening.open`."""

    def __init__(self, runner: ServerRunner) -> None:
        self._runner = runner

    @classmethod
    async def open(cls, web: Web, *, at: str, drain: timedelta) -> "Listening":
        """at: "host:port", or "" for nowhere. Raises PortInUse."""
        server = Server(
            web.handle,
            handler_cancellation=True,  # nobody works on for a caller who has gone
            access_log=None,
            max_line_size=MOST_HEADER_BYTES,
            max_field_size=MOST_HEADER_BYTES,
        )
        # It waits twice as long: for answers to end, and for those that were told to.
        runner = ServerRunner(server, shutdown_timeout=drain.total_seconds() / 2)
        await runner.setup()
        if not at:
            return cls(runner)
        host, _, port = at.rpartition(":")
        try:
            await TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await runner.cleanup()
            raise PortInUse(f"cannot listen on {at}: is the port in use?") from error
        log.info("HTTP at %s:%d", host, runner.addresses[0][1])
        return cls(runner)

    async def run(self) -> None:
        """Until cancelled; then what runs may go on for a while."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._runner.cleanup()
