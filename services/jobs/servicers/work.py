"""datamill.work.v1: handing out datum sets and taking their results.

Elsewhere: the queue and leases (operations/work/), results (operations/running/results.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from datamill.wire.work_v1_pb2_grpc import WorkServiceServicer
from services.jobs.domain.datums import DatumState
from services.jobs.domain.errors import BadRequest, FilesGone, JobNotFound, SetNotFound
from services.jobs.domain.jobs import Job, JobKey, Stats
from services.jobs.domain.records import Ended, names, read_planned, record_line
from services.jobs.domain.sets import DatumSet, SetState
from services.jobs.operations.running import moving, results
from services.jobs.operations.running.results import count, settle
from services.jobs.operations.running.tools import Tools
from services.jobs.operations.work import activity, leasing
from services.jobs.operations.work.demand import demand, last_states
from services.jobs.operations.work.leasing import Leased, Refusal
from services.jobs.operations.work.queue import Line, Taken
from services.jobs.servicers import from_wire, to_wire
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.objects import write_records
from services.jobs.storage.sets import SetStore
from services.kit.rpc.server import Context, require_service
from services.kit.time.times import span_of, time_of

LONGEST_WAIT = timedelta(seconds=60)
NOT_FOUND_YET = timedelta(seconds=1)
OUTDATED_PAUSE = 2.0  # seconds that a worker waits for nothing while a later start of it is at work
DATUM_STATES = {
    pps.DatumState.SUCCESS: DatumState.SUCCESS,
    pps.DatumState.FAILED: DatumState.FAILED,
    pps.DatumState.RECOVERED: DatumState.RECOVERED,
}


Forget = Callable[[str, str], Awaitable[None]]
"""Ends and forgets the jobs of a pipeline (project, name) that is gone; those of one made again since stay."""


class WorkService(WorkServiceServicer):
    """For workers and PPS: every call needs the service token."""

    def __init__(self, tools: Tools, *, token: str, traced: bool, forget: Forget) -> None:
        """traced: whether anybody looks at spans; workers are told by the trace context's flag.

        forget: what is done when a pipeline is deleted.
        """
        self._t = tools
        self._forget = forget
        self._token = token
        self._traced = traced

    async def LeaseSet(self, request: work.LeaseSetRequest, context: Context) -> work.LeaseSetResponse:
        require_service(context, self._token)
        project, name = from_wire.pipeline(request.pipeline)
        wait = min(span_of(request.max_wait), LONGEST_WAIT)
        if await self._outdated(request, project, name):
            await asyncio.sleep(min(wait.total_seconds(), OUTDATED_PAUSE))
            return work.LeaseSetResponse()
        until = asyncio.get_running_loop().time() + wait.total_seconds()
        line = Line(project, name, request.pipeline_version)
        while True:
            left = max(until - asyncio.get_running_loop().time(), 0.0)
            taken = await self._t.queue.take(line, timedelta(seconds=left))
            if taken is None:
                return work.LeaseSetResponse()
            leased = await self._lease(taken, request)
            if leased is not None:
                return work.LeaseSetResponse(set=await self._set(leased, taken.handle))

    async def CountWork(self, request: work.CountWorkRequest, context: Context) -> work.CountWorkResponse:
        require_service(context, self._token)
        answer = work.CountWorkResponse()
        for pipeline in request.pipelines:
            found = await self._t.db.read(demand, *from_wire.pipeline(pipeline), now=self._t.clock.now())
            answer.work.add(
                pipeline=pipeline,
                open_sets=found.open_sets,
                unclaimed_sets=found.unclaimed_sets,
                unfinished_jobs=found.unfinished_jobs,
            )
        return answer

    async def ListLastStates(
        self, request: work.ListLastStatesRequest, context: Context
    ) -> work.ListLastStatesResponse:
        require_service(context, self._token)
        found = await self._t.db.read(last_states, [from_wire.pipeline(one) for one in request.pipelines])
        return work.ListLastStatesResponse(states=[pps.JobState.ValueType(state) for state in found])

    async def ForgetPipelines(
        self, request: work.ForgetPipelinesRequest, context: Context
    ) -> work.ForgetPipelinesResponse:
        require_service(context, self._token)
        for one in request.pipelines:
            await self._forget(*from_wire.pipeline(one))
        return work.ForgetPipelinesResponse()

    async def _outdated(self, request: work.LeaseSetRequest, project: str, pipeline: str) -> bool:
        """Free what the worker, or its predecessor, held; unless the caller is the predecessor of one at work.

        A worker holds one set at a time, so one that asks has given up what it held. Two of a name are there while a
        replica of PPS hangs and another has taken its workers over: would they free each other's, neither got anywhere.
        """
        held = await self._t.db.read(leasing.held_by, request.worker, project, pipeline)
        now = self._t.clock.now()
        if any(one.incarnation > request.incarnation and one.held(now) for one in held):
            return True
        if held:
            for handle in await self._t.db.run(leasing.free_all, held):
                await self._t.queue.give_back(handle, timedelta())
        return False

    async def _lease(self, taken: Taken, request: work.LeaseSetRequest) -> Leased | None:
        now = self._t.clock.now()
        answer = await self._t.db.run(
            leasing.lease_set,
            taken.job,
            taken.index,
            request.pipeline_version,
            worker=request.worker,
            incarnation=request.incarnation,
            handle=taken.handle,
            now=now,
            until=now + self._t.queue.lease,
        )
        if isinstance(answer, Leased):
            return answer
        if answer is Refusal.STALE:
            await self._t.queue.done(taken.handle)
        else:
            await self._t.queue.give_back(taken.handle, NOT_FOUND_YET)
        return None

    async def _set(self, leased: Leased, handle: str) -> work.DatumSet:
        datums = map(read_planned, await self._lines(leased.plan, leased.set))
        return work.DatumSet(
            lease=handle,
            lease_ttl=to_wire.duration(self._t.queue.lease),
            job=to_wire.job(leased.job.key),
            index=leased.set.index,
            datums=map(to_wire.work_datum, datums),
            output_commit=to_wire.output_commit(leased.job),
            traceparent=leased.job.traceparent.removesuffix("-01") + ("-01" if self._traced else "-00"),
        )

    async def _lines(self, plan: str, one: DatumSet) -> list[bytes]:
        """The datums of a set, as their plan has them."""
        objects = self._t.indexes.objects
        data = await asyncio.to_thread(objects.get_range, plan, one.begin, one.length)
        return data.splitlines(keepends=True)

    async def RenewLease(self, request: work.RenewLeaseRequest, context: Context) -> work.RenewLeaseResponse:
        require_service(context, self._token)
        key = from_wire.job(request.job)
        now, ttl = self._t.clock.now(), self._t.queue.lease
        fate = await self._t.db.read(leasing.lease_fate, key, request.index, request.lease, now, ttl)
        if fate.held:
            await self._t.queue.keep(request.lease)
        if fate.extend:
            await self._t.db.run(leasing.extend_lease, fate.job, request.index, request.lease, now + ttl)
        if fate.cancelled:
            await self._t.db.run(leasing.told, fate.job, request.index, request.lease, fate.cancelled)
        return work.RenewLeaseResponse(held=fate.held, reason=fate.reason, cancel_datum_ids=fate.cancelled)

    async def CompleteSet(self, request: work.CompleteSetRequest, context: Context) -> work.CompleteSetResponse:
        require_service(context, self._token)
        key = from_wire.job(request.job)
        found = await self._t.db.read(_asked_for, key, request.index)
        if found is None:
            raise JobNotFound(key)
        job, one, plan = found
        if one is None and not job.final:
            raise SetNotFound(request.index, key)
        counted, kept = False, True
        if one is not None and not job.final:
            if one.state is SetState.OPEN:
                counted, kept = await self._complete(job, one, plan, request)
            elif one.state is SetState.TAKEN:  # an earlier call was cut off between counting and attaching
                kept = await settle(self._t, job, one)
        await self._t.queue.done(request.lease)
        if not kept:
            raise FilesGone(request.index, key)
        return work.CompleteSetResponse(counted=counted or (one is not None and one.lease == request.lease))

    async def _complete(
        self, job: Job, one: DatumSet, plan: str, request: work.CompleteSetRequest
    ) -> tuple[bool, bool]:
        """Whether this answer counts, and whether what it names is there."""
        planned = await self._lines(plan, one)
        ended = _ended(job, planned, request.results)
        stored = await asyncio.to_thread(self._store, planned, ended)
        took = await self._t.db.run(
            results.take_results,
            job.number,
            one.index,
            records=stored,
            output_files=request.output_file_set_id,
            meta_files=request.meta_file_set_id,
            worker=request.worker,
            now=self._t.clock.now(),
        )
        return took, not took or await self._settle(job, one.index, results.tally(ended), request)

    def _store(self, planned: list[bytes], ended: list[Ended]) -> str:
        indexes = self._t.indexes
        return write_records(indexes.objects, indexes.fresh(), map(_entry, planned, ended))

    async def _settle(self, job: Job, index: int, tally: results.Tally, request: work.CompleteSetRequest) -> bool:
        """False: its files are gone, and it runs again."""
        attached = await results.attach(
            self._t.pfs, job, output_files=request.output_file_set_id, meta_files=request.meta_file_set_id
        )
        if attached:
            await count(self._t, job, index, tally)
            return True
        one = await self._t.db.read(lambda tx: SetStore(tx).get(job.number, index))
        return one is None or one.state is not SetState.TAKEN or await settle(self._t, job, one)

    async def ReturnSet(self, request: work.ReturnSetRequest, context: Context) -> work.ReturnSetResponse:
        require_service(context, self._token)
        job = await self._job(from_wire.job(request.job))
        one = await self._t.db.read(lambda tx: SetStore(tx).get(job.number, request.index))
        if one is not None and one.lease == request.lease:
            await self._t.db.run(leasing.free_all, [one])
        await self._t.queue.give_back(request.lease, span_of(request.delay))
        text = f"datum set {request.index} was given back: {request.reason}"
        key = job.key
        self._t.logs.say(key.project, key.pipeline, key.id, text, at=self._t.clock.now())
        return work.ReturnSetResponse()

    async def ReportActivity(
        self, request: work.ReportActivityRequest, context: Context
    ) -> work.ReportActivityResponse:
        require_service(context, self._token)
        project, name = from_wire.pipeline(request.pipeline)
        now = self._t.clock.now()
        if request.fatal:
            text = f"worker {request.worker} cannot go on: {request.fatal}"
            self._t.logs.say(project, name, "", text, at=now)
        status = request.datum_status
        data = tuple((file.path, file.hash.hex()) for file in status.data)
        started = time_of(status.started) if status.HasField("started") else None
        job = from_wire.id(request.job.id)
        await self._t.db.run(activity.report, request.worker, project, name, job=job, started=started, data=data)
        return work.ReportActivityResponse()

    async def _job(self, key: JobKey) -> Job:
        job = await self._t.db.read(moving.find_job, key)
        if job is None:
            raise JobNotFound(key)
        return job


def _asked_for(tx: Session, key: JobKey, index: int) -> tuple[Job, DatumSet | None, str] | None:
    """A job, a set of it, and the plan object that holds the set. None: there is no such job."""
    job = JobStore(tx).find(key)
    if job is None:
        return None
    return job, SetStore(tx).get(job.number, index), JobStore(tx).plan_of(job.number, index)


def _ended(job: Job, planned: Sequence[bytes], answers: Iterable[work.DatumResult]) -> list[Ended]:
    """What became of each datum of the set. Raises BadRequest."""
    given = list(answers)
    known = {answer.datum_id: answer for answer in given}
    ids = [names(line)[0] for line in planned]
    missing = [id for id in ids if id not in known]
    if missing or len(given) != len(planned):
        raise BadRequest(f"results are for {len(given)} datums, the set has {len(planned)}; missing: {missing[:3]}")
    return [_one_ended(job.key.id, known[id]) for id in ids]


def _one_ended(job: str, answer: work.DatumResult) -> Ended:
    state = DATUM_STATES.get(answer.state)
    if state is None:
        raise BadRequest(f"datum {answer.datum_id} has no final state")
    took = answer.stats
    stats = Stats(
        span_of(took.download_time),
        span_of(took.process_time),
        span_of(took.upload_time),
        took.download_bytes,
        took.upload_bytes,
    )
    return Ended(answer.datum_id, job, state, answer.reason, stats, tuple(answer.outputs))


def _entry(planned: bytes, ended: Ended) -> tuple[bytes, bytes, DatumState, bytes]:
    id, hash = names(planned)
    return bytes.fromhex(id), bytes.fromhex(hash), ended.state, record_line(planned, ended)
