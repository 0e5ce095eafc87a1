"""The datum methods of pps_v2.API: what a job has done.

Elsewhere: what an input would give (of_inputs.py), the index that is read here (operations/reading.py).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.datums import DatumState
from services.jobs.domain.errors import BadRequest, DatumNotFound, JobNotFound, NoDatumMatches, Wrong
from services.jobs.domain.jobs import Job, JobKey
from services.jobs.domain.records import Record, read_planned
from services.jobs.operations import reading
from services.jobs.operations.work import activity
from services.jobs.operations.work.activity import Activity
from services.jobs.servicers import from_wire, to_wire
from services.jobs.servicers.datums.of_inputs import InputDatumRpcs
from services.jobs.servicers.jobs import Parts
from services.jobs.storage.jobs import JobStore
from services.kit.rpc.server import Context

HEX_BYTES = 32


class DatumRpcs(InputDatumRpcs):
    """Datums."""

    _p: Parts

    async def InspectDatum(self, request: pps.InspectDatumRequest, context: Context) -> pps.DatumInfo:
        if not request.HasField("datum") or not request.datum.id:
            raise Wrong("must specify a datum")
        if not request.datum.HasField("job") or not request.datum.job.id:
            raise Wrong("must specify a job")
        job = await self._job(from_wire.job(request.datum.job))
        id = _id(request.datum.id)
        view = await self._p.tools.db.read(reading.datum_view, job.number)
        found = None if id is None else await asyncio.to_thread(reading.find_record, self._p.tools.indexes, view, id)
        if found is None:
            raise DatumNotFound(request.datum.id, job.key)
        images = await self._p.tools.db.read(reading.documents_of, job.key, {found.job})
        return _info(job, found, to_wire.image(images.get(found.job)))

    async def ListDatum(self, request: pps.ListDatumRequest, context: Context) -> AsyncIterator[pps.DatumInfo]:
        if request.HasField("job") and request.HasField("input"):
            raise Wrong("cannot specify both job and input")
        if request.number < 0:
            raise Wrong("number must be non-negative")
        if request.reverse and not request.number:
            raise Wrong("number must be > 0 when reverse is set")
        states = set(request.filter.state)
        marker = _marker(request.paginationMarker)
        found = self._of_input(request, marker) if request.HasField("input") else self._of_job(request, marker)
        sent = 0
        async with aclosing(found):
            async for info in found:
                if states and info.state not in states:
                    continue
                yield info
                sent += 1
                if request.number and sent >= request.number:
                    return

    async def _of_job(self, request: pps.ListDatumRequest, marker: bytes) -> AsyncGenerator[pps.DatumInfo, None]:
        job = await self._job(from_wire.job(request.job))
        view = await self._p.tools.db.read(reading.datum_view, job.number)
        indexes = self._p.tools.indexes
        rows = await asyncio.to_thread(reading.rows_of, indexes, view, marker, reverse=request.reverse)
        images = dict[str, str]()
        while page := await asyncio.to_thread(reading.records_page, indexes, rows):
            if new := {record.job for record in page} - images.keys():
                found = await self._p.tools.db.read(reading.documents_of, job.key, new)
                images |= {id: to_wire.image(found.get(id)) for id in new}
            for record in page:
                yield _info(job, record, images[record.job])

    async def RestartDatum(self, request: pps.RestartDatumRequest, context: Context) -> Empty:
        job = await self._job(from_wire.job(request.job))
        filters = list(request.data_filters)
        cancelled = False
        for one in await self._p.tools.db.read(activity.of_job, job.number):
            if one.started is not None and one.matches(filters):
                datums = await self._at_work(job, one)
                found = bool(datums) and await self._p.tools.db.run(activity.cancel, one.set, datums)
                cancelled = cancelled or found
        if not cancelled:
            raise NoDatumMatches(filters, job.key.id)
        return Empty()

    async def _at_work(self, job: Job, one: Activity) -> list[str]:
        """Ids of the datums with these inputs in what a worker holds."""
        plan = await self._p.tools.db.read(lambda tx: JobStore(tx).plan_of(job.number, one.set.index))
        objects = self._p.tools.indexes.objects
        data = await asyncio.to_thread(objects.get_range, plan, one.set.begin, one.set.length)
        paths = [path for path, _ in one.data]
        planned = map(read_planned, data.splitlines())
        return [datum.id for datum in planned if [file.path for file in datum.inputs] == paths]

    async def _job(self, key: JobKey) -> Job:
        job = await self._p.creator.ensure(key)
        if job is None:
            raise JobNotFound(key)
        return job


def _id(text: str) -> bytes | None:
    """A datum id's bytes; None when the text is none."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return raw if len(raw) == HEX_BYTES else None


def _marker(text: str) -> bytes:
    """The id that a page begins after; nothing for the first page. Raises BadRequest."""
    id = _id(text)
    if id is None and text:
        raise BadRequest(f"paginationMarker is no datum id: {text}")
    return id or b""


def _info(job: Job, record: Record, image: str) -> pps.DatumInfo:
    """A datum as a job shows it: SKIPPED when another job ran it, whose name it then bears. image: of that job."""
    ran = replace(job.key, id=record.job)
    state = record.state if record.job == job.key.id else DatumState.SKIPPED
    meta = to_wire.repo(job.key.project, job.key.pipeline, "meta")
    where = pfs.Commit(repo=meta, branch=pfs.Branch(repo=meta, name=job.output_branch), id=job.key.id)
    return pps.DatumInfo(
        datum=pps.Datum(job=to_wire.job(ran), id=record.id),
        state=int(state),  # type: ignore[arg-type]  # the numbers are the protocol's
        stats=to_wire.stats(record.stats),
        pfs_state=pfs.File(commit=where, path=f"/pfs/{record.id}"),
        data=to_wire.files(record.inputs),
        image_id=image,
    )
