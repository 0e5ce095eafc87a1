"""CreateDatum, and ListDatum of an input: datums of a tree that belongs to no pipeline yet.

Elsewhere: datums of jobs (of_jobs.py); what such a tree may be (PPS knows).
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.datums import Datum, datum_id
from services.jobs.domain.errors import BadRequest, Wrong
from services.jobs.domain.planning.inputs import Input
from services.jobs.operations.planning import previews
from services.jobs.operations.planning.previews import ById
from services.jobs.servicers import to_wire
from services.jobs.servicers.from_wire import DEFAULT_PROJECT
from services.jobs.servicers.jobs import Parts
from services.jobs.spec_reader import has_cron, read_tree
from services.kit.rpc.server import Context

NO_CRON_IN_LIST = "can't list datums with a cron input, there will be no datums until the pipeline is created"
NO_CRON = "can't create datums with a cron input"
USUAL_NUMBER = 100


class InputDatumRpcs:
    """Datums of inputs."""

    _p: Parts

    async def _of_input(self, request: pps.ListDatumRequest, marker: bytes) -> AsyncGenerator[pps.DatumInfo, None]:
        """By id, as those of a job."""
        tree = await self._asked(request.input, no_cron=NO_CRON_IN_LIST)
        planner = self._p.tools.planner
        commits = await previews.heads(self._p.tools.pfs, tree)
        async for page in previews.datums_by_id(planner, tree, commits, ById(marker, request.reverse)):
            for id, datum in page:
                yield _info(id, datum)

    async def CreateDatum(
        self, request_iterator: AsyncIterator[pps.CreateDatumRequest], context: Context
    ) -> AsyncIterator[pps.DatumInfo]:
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None:
            return
        if first.WhichOneof("body") != "start":
            raise Wrong("first message must be a StartCreateDatumRequest message")
        if not first.start.HasField("input"):
            raise Wrong("first message must specify an input")
        left = _number(first.start.number)
        async with aclosing(self._found(first.start.input)) as found:
            async for datum in found:
                if not left:
                    asked = await anext(requests, None)
                    if asked is None:
                        return
                    left = _continued(asked)
                yield _info(datum_id(datum), datum)
                left -= 1

    async def _asked(self, tree: pps.Input, *, no_cron: str) -> Input:
        """The tree with its defaults. no_cron: what is said of one with a cron. Raises Wrong with all mistakes."""
        if has_cron(tree):
            raise Wrong(no_cron)
        return read_tree(await self._p.pps.complete(tree), DEFAULT_PROJECT)

    async def _found(self, input: pps.Input) -> AsyncGenerator[Datum, None]:
        tree = await self._asked(input, no_cron=NO_CRON)
        commits = await previews.heads(self._p.tools.pfs, tree)
        async for batch in previews.datums_of(self._p.tools.planner, tree, commits):
            for datum in batch:
                yield datum


def _continued(request: pps.CreateDatumRequest) -> int:
    if request.WhichOneof("body") != "continue":
        raise Wrong("subsequent messages must be a ContinueCreateDatumRequest message")
    return _number(getattr(request, "continue").number)


def _number(asked: int) -> int:
    if asked < 0:
        raise BadRequest("number must be non-negative")
    return asked or USUAL_NUMBER


def _info(id: bytes, datum: Datum) -> pps.DatumInfo:
    return pps.DatumInfo(datum=pps.Datum(id=id.hex()), data=to_wire.files(datum))
