"""The methods of pfs_v2.API that look into the history of a file, and that forget a part of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import Context
from services.pfs.domain.commits import Commit
from services.pfs.domain.errors import Malformed, MissingField
from services.pfs.operations.upkeep.finding import searched
from services.pfs.operations.upkeep.forget import forget_commit
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.wire import from_wire, to_wire

T = TypeVar("T")
USABLE = 0.85  # of a caller's deadline: what is left is for the last answer to arrive


class HistoryRpcs(Rpcs):
    """Searching and forgetting."""

    async def FindCommits(
        self, request: pfs.FindCommitsRequest, context: Context
    ) -> AsyncIterator[pfs.FindCommitsResponse]:
        if not request.HasField("start"):
            raise MissingField("start", streaming=True)
        start, left = from_wire.commit_ref(request.start), context.time_remaining()
        end = None if left is None else asyncio.get_running_loop().time() + left * USABLE
        count, last = 0, None
        async with aclosing(searched(self.db, self.views, start, request.file_path)) as found:
            limit = request.limit
            while one := await in_time(found, end):
                last = one.commit
                if one.found:
                    yield pfs.FindCommitsResponse(found_commit=_bare(one.commit), commits_searched=count)
                    limit -= 1
                count += 1
                if one.found and limit == 0:
                    break
        searched_last = None if last is None else _bare(last)
        yield pfs.FindCommitsResponse(last_searched_commit=searched_last, commits_searched=count)

    async def ForgetCommit(self, request: pfs.ForgetCommitRequest, context: Context) -> pfs.ForgetCommitResponse:
        if not request.HasField("commit"):
            raise Malformed("commit picker cannot be nil")
        await self.change(forget_commit, from_wire.picked_commit(request.commit))
        return pfs.ForgetCommitResponse()


def _bare(commit: Commit) -> pfs.Commit:
    return to_wire.bare_commit(commit.ref)


async def in_time(found: AsyncIterator[T], end: float | None) -> T | None:
    """The next one; None: there is none, or the time is up."""
    try:
        async with asyncio.timeout_at(end):
            return await anext(found, None)
    except TimeoutError:
        return None
