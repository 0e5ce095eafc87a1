"""logs.API: lines by query, in the order of time, with pages. Elsewhere: what a request asks for (queries.py)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from datamill.wire import logs_pb2 as logs
from datamill.wire.logs_pb2_grpc import APIServicer
from services.jobs.domain.logs.queries import LogQuery
from services.jobs.domain.logs.records import Record
from services.jobs.operations.history import paging
from services.jobs.operations.history.choosing import Choice
from services.jobs.operations.history.paging import Range
from services.jobs.operations.history.reading import LogReader
from services.jobs.servicers.logs import queries as asking
from services.jobs.servicers.logs.encoding import Records
from services.jobs.servicers.logs.queries import Asked
from services.kit.rpc.server import Answers, Context, Encoded

AT_A_TIME = 256


class LogService(APIServicer):
    """Everybody may read everything as long as nobody has to say who they are."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader

    async def GetLogs(self, request: logs.GetLogsRequest, context: Context) -> Answers:
        """Messages are logs.GetLogsResponse."""
        encoded = Records()
        asked = asking.asked(request)
        if asked is None:
            return
        if request.tail and not asked.range.backwards:
            following = records(self._reader, asked.queries, asked.choice, follow=True)
            async for record in paging.in_order(following, asked.range):
                yield Encoded([encoded(record)])
            return
        left, first = asked.range, list[Record]()
        async for page, after in self._pages(asked):
            left, first = after, first or page
            for start in range(0, len(page), AT_A_TIME):
                yield Encoded(map(encoded, page[start : start + AT_A_TIME]))
        if request.want_paging_hint:
            before = paging.before(asked.range, first, await self._of_one_time(asked, first))
            hint = asking.hint(request, asked.range, left, before)
            yield Encoded([logs.GetLogsResponse(paging_hint=hint).SerializeToString()])

    async def _pages(self, asked: Asked) -> AsyncIterator[tuple[list[Record], Range]]:
        """What is asked for, in pieces that fit into memory, and after each what comes after it."""
        left, shown = asked.range, 0
        while True:
            size = min(asked.range.limit - shown or paging.PAGE, paging.PAGE) if asked.range.limit else paging.PAGE
            found = records(self._reader, _narrowed(asked.queries, left), asked.choice)
            page = await paging.page(found, replace(left, limit=size))
            left, shown = paging.after(left, page), shown + len(page)
            yield page, left
            if len(page) < size or shown == asked.range.limit:
                return

    async def _of_one_time(self, asked: Asked, first: list[Record]) -> int:
        """How many records there are of the time of the first one."""
        if not first:
            return 0
        at = first[0].at
        queries = [replace(query, since=at, until=at) for query in asked.queries]
        return sum([record is not None async for record in records(self._reader, queries, asked.choice)])


def _narrowed(queries: Sequence[LogQuery], left: Range) -> list[LogQuery]:
    """The queries without what was shown already."""
    if left.backwards:
        return [replace(query, until=left.start) for query in queries]
    return [replace(query, since=max(left.start, 0)) for query in queries]


async def records(
    reader: LogReader, queries: Sequence[LogQuery], choice: Choice, *, follow: bool = False
) -> AsyncIterator[Record | None]:
    """Lines that are chosen, query after query; of several only the last one is followed."""
    for query in queries:
        is_last = query is queries[-1]
        async with aclosing(reader.read(query, follow=follow and is_last)) as batches:
            async for batch in batches:
                if batch is None:
                    if is_last:
                        yield None
                    continue
                for at, text in batch.lines:
                    record = Record(batch, at, text)
                    if choice(record):
                        yield record
