"""The steps of a job: each looks where the job stands, does its part, and can be repeated.

Elsewhere: who runs them, and kills (duties/driver.py); planning (../planning/); results of sets (results.py).
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

import grpc
from sqlalchemy.orm import Session

from services.jobs.domain.datums import Leaf
from services.jobs.domain.errors import InputRefused, PasswordMissing
from services.jobs.domain.jobs import Job, JobState, datum_failed, unrunnable
from services.jobs.operations.planning.drafts import Part, Plan
from services.jobs.operations.planning.indexing import index_of
from services.jobs.operations.planning.phases import Awaited, first_part, planned_first, rest_part
from services.jobs.operations.running import moving, results
from services.jobs.operations.running.bases import Base, Running, commits_of, ended_base, inputs_of, known_base
from services.jobs.operations.running.feeding import Feeding
from services.jobs.operations.running.killing import close_commits
from services.jobs.operations.running.removing import take_away
from services.jobs.operations.running.results import settle
from services.jobs.operations.running.standing import SINGLE_DATUM, Standing
from services.jobs.operations.running.tools import Tools, line_of
from services.jobs.operations.wakes import waited
from services.jobs.peers.pfs import CommitFacts
from services.jobs.spec_reader import read_document
from services.jobs.storage.sets import SetStore
from services.kit.sortedmap.rows import EMPTY

log = logging.getLogger(__name__)
LOOK_AGAIN = 2.0
EGRESS_AGAIN, EGRESS_AT_LEAST_EVERY = 1.0, 60.0  # seconds


class Hold(Protocol):
    """The lease of a job in hand."""

    @property
    def job(self) -> Job: ...

    @property
    def fresh(self) -> bool:
        """Whether nothing can have been put on the job's commits yet."""
        ...

    @property
    def document(self) -> bytes: ...

    async def keep(self) -> None:
        """Asked before the job's commits lose anything. Raises Superseded when another process drives it by now."""
        ...

    def drop(self, tx: Session) -> None:
        """With the last transaction of the job."""
        ...


class JobSteps:
    """One job, from where it stands to its end. A fresh one is made after any trouble."""

    def __init__(self, tools: Tools, hold: Hold) -> None:
        self._t = tools
        self._hold = hold
        self._fresh = hold.fresh
        self._number = hold.job.number
        self._feeding: Feeding | None = None
        """Once this object has planned the job, or put sets of it into the queue itself."""
        self._unqueued = 0
        """How many sets it has planned that are not in the queue yet."""
        self.spec = read_document(hold.document)

    async def run(self) -> None:
        """Go on until the job has ended and its commits are closed."""
        job: Job | None = self._hold.job
        if self._fresh:
            self._say_state(self._hold.job)
        while job is not None and not job.closed:
            job = await self._step(job) or await self._t.db.read(moving.get_job, self._number)

    async def _step(self, job: Job) -> Job | None:
        """The job as it is then; None: it has to be looked at."""
        match job.state:
            case JobState.CREATED:
                return await self._move(JobState.STARTING, of=JobState.CREATED)
            case JobState.STARTING:
                return await self._start(job)
            case JobState.RUNNING:
                return await (self._stand(job) if self.spec.service else self._work(job))
            case JobState.EGRESSING:
                return await self._egress(job)
            case JobState.FINISHING:
                return await self._finish(job)
            case _:
                await close_commits(self._t, job)
                return None

    async def _move(self, to: JobState, *, of: JobState, reason: str = "") -> Job:
        job = await self._t.db.run(moving.move, self._number, to, of=of, now=self._t.clock.now(), reason=reason)
        self._say_state(job)
        return job

    def _say_state(self, job: Job) -> None:
        self._say(job, f"job is {job.state.name}" + (f": {job.reason}" if job.reason else ""))

    def _say(self, job: Job, text: str) -> None:
        key = job.key
        self._t.logs.say(key.project, key.pipeline, key.id, text, at=self._t.clock.now())

    async def _start(self, job: Job) -> Job | None:
        spec, inputs = self.spec, await self._inputs(job)
        failed = [leaf.name for leaf, facts in inputs.items() if facts.error]
        if failed:
            return await self._move(JobState.UNRUNNABLE, of=JobState.STARTING, reason=unrunnable(failed))
        found = Base(EMPTY) if spec.service else await known_base(self._t.db, self._t.pfs, self._t.wakes, job)
        awaited: Awaited | None = None
        if isinstance(found, Running):
            awaited, part = await first_part(self._t.db, self._t.indexes, self._t.planner.scratch, found)
            plan = await self._planned(job, inputs, awaited.base, part)
            plan, base = plan and planned_first(plan, awaited), Base(EMPTY)
        else:
            base = found
            plan = await self._planned(job, inputs, base)
        if plan is None:
            return None
        if not spec.service:
            await self._prepare(job, base, plan)
        await self._lay_out(plan)
        now = self._t.clock.now()
        job = await self._t.db.run(moving.run, self._number, plan, base=base.number, now=now, awaited=awaited)
        if spec.service and job.counters.total != 1:
            self._say(job, SINGLE_DATUM)
        else:
            self._feeding = self._feeding_of(job)
            self._unqueued = len(plan.ranges)
        self._say(job, f"job is RUNNING: {_counted(plan)}")
        return job

    async def _inputs(self, job: Job) -> dict[Leaf, CommitFacts]:
        assert self.spec.tree is not None
        return await inputs_of(self._t.pfs, job.key, self.spec.tree)

    async def _planned(
        self, job: Job, inputs: Mapping[Leaf, CommitFacts], base: Base, part: Part | None = None
    ) -> Plan | None:
        """A plan of the job. None: its inputs allow none, and it has failed."""
        try:
            commits = {leaf: facts.ref for leaf, facts in inputs.items()}
            return await self._t.planner.plan(self.spec, commits, base, part)
        except InputRefused as refused:
            await self._move(JobState.FAILURE, of=job.state, reason=str(refused))
            return None

    async def _lay_out(self, plan: Plan) -> None:
        """Give the job the sets of a plan that are too many for one transaction."""
        if len(plan.ranges) > moving.SETS_AT_ONCE:
            for first in range(0, len(plan.ranges), moving.SETS_AT_ONCE):
                await self._t.db.run(moving.lay_out, self._number, plan, first, now=self._t.clock.now())

    async def _go_on(self, job: Job, feeding: Feeding) -> bool:
        """Plan what has awaited the base's end. False: the job does not run any more."""
        base = await ended_base(self._t.db, self._t.pfs, self._t.wakes, job)
        inputs = await self._inputs(job)
        records = await self._t.db.read(lambda tx: SetStore(tx).records(job.number))
        async with rest_part(self._t.indexes, records, self._t.planner.scratch) as part:
            plan = await self._planned(job, inputs, base, part)
        if plan is None:
            return False
        await take_away(self._t.pfs, self._t.indexes, commits_of(job), base.unknown, plan.removed, self._hold.keep)
        await self._lay_out(plan)
        now = self._t.clock.now()
        job = await self._t.db.run(moving.go_on, self._number, plan, base=base.number, now=now)
        await feeding.go_on()
        self._say(job, f"job goes on: {_counted(plan)}")
        return True

    async def _drop_unplanned(self) -> None:
        """Sets of a plan that an earlier try did not finish."""
        while await self._t.db.run(moving.drop_unplanned, self._number):
            pass

    def _feeding_of(self, job: Job) -> Feeding:
        return Feeding(self._t.db, self._t.queue, self._t.clock, line_of(job), job.number)

    async def _prepare(self, job: Job, base: Base, plan: Plan) -> None:
        """Take away from the commits what datums wrote that are gone or run again."""
        output, meta = commits_of(job)
        await self._hold.keep()
        if not self._fresh:  # an earlier try may have left something
            await asyncio.gather(self._t.pfs.clear(output), self._t.pfs.clear(meta))
            await self._drop_unplanned()
        self._fresh = False
        await take_away(self._t.pfs, self._t.indexes, (output, meta), base.unknown, plan.removed, self._hold.keep)

    async def _work(self, job: Job) -> Job | None:
        """Wait until every set is DONE; carry on with those that were TAKEN when a process died."""
        async with self._t.wakes.listening(str(job.key)) as changed:
            feeding, sets = self._feeding, self._unqueued
            if feeding is None:
                await self._resume(job)
                await self._drop_unplanned()
                await self._t.db.run(moving.begun_anew, job.number)
                self._feeding = feeding = self._feeding_of(job)
                await feeding.take_up()
            else:
                await feeding.begin(sets)
            ended = await self._all_done(job, feeding, changed, at_once=not sets)
            while ended is not None and ended.awaits is not None and not ended.counters.failed:
                ended = await self._all_done(job, feeding, changed) if await self._go_on(ended, feeding) else None
        if ended is None:
            return None
        to = JobState.EGRESSING if self.spec.egress else JobState.FINISHING
        if ended.counters.failed:
            return await self._ran(JobState.FAILURE, datum_failed(ended.first_failed))
        return await self._ran(to)

    async def _all_done(
        self, job: Job, feeding: Feeding, changed: asyncio.Event, *, at_once: bool = True
    ) -> Job | None:
        """Wait until no set is left. None: the job does not run any more. at_once: there may be none already."""
        in_time = True
        while True:
            if at_once:
                found = await self._t.db.read(moving.progress, job.number)
                if found is None:
                    return None
                if not found.left:
                    return found.job
                if not in_time:
                    await self._resume(found.job)
                    await feeding.look()
            in_time, at_once = await waited(changed, LOOK_AGAIN), True

    async def _stand(self, job: Job) -> Job | None:
        if self._feeding is None and job.counters.total == 1:
            self._feeding = self._feeding_of(job)
            await self._feeding.take_up()
        elif self._feeding is not None:
            await self._feeding.begin(self._unqueued)
        if await Standing(self._t, job, self._feeding).until_next():
            return await self._move(JobState.FINISHING, of=JobState.RUNNING)
        return None

    async def _resume(self, job: Job) -> None:
        for one in await self._t.db.read(results.taken_sets, job.number):
            await settle(self._t, job, one)

    async def _ran(self, to: JobState, reason: str = "") -> Job:
        """Write the datum index, of what was taken over and what has run, and move on."""
        known = await self._t.db.read(moving.known, self._number)
        root, packs = known.root, list[bytes]()
        if known.records:
            scratch = self._t.planner.scratch
            root, packs = await asyncio.to_thread(index_of, self._t.indexes, known.root, known.records, scratch)
        now = self._t.clock.now()
        job = await self._t.db.run(moving.ran, self._number, root, packs, to, now=now, reason=reason)
        self._say_state(job)
        return job

    async def _egress(self, job: Job) -> Job:
        """Copy the outputs out, trying for ever: who has had enough stops the job."""
        spec, pause = self.spec, EGRESS_AGAIN
        name, entry = spec.egress_secret
        while True:
            try:
                password = await self._t.pps.secret(job.key, job.version, name, entry) if name else ""
                await self._t.pfs.egress(commits_of(job)[0], spec.egress, password)
                break
            except (grpc.aio.AioRpcError, PasswordMissing) as error:
                why = error.details() if isinstance(error, grpc.aio.AioRpcError) else error
                self._say(job, f"egress failed and is tried again in {pause:g} s: {why}")
                await self._t.db.run(moving.egress_failed, self._number, f"egress failed and is tried again: {why}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, EGRESS_AT_LEAST_EVERY)
        return await self._move(JobState.FINISHING, of=JobState.EGRESSING)

    async def _finish(self, job: Job) -> Job:
        output, meta = commits_of(job)
        error = await self._t.pfs.finished(output)
        if not self.spec.service:
            found = await self._t.pfs.finished(meta, error=error)
            error = error or found

        def conclude(tx: Session) -> Job:
            self._hold.drop(tx)
            return moving.conclude(tx, self._number, error, now=self._t.clock.now())

        job = await self._t.db.run(conclude)
        self._say_state(job)
        return job


def _counted(plan: Plan) -> str:
    return f"{plan.to_run} datums in {len(plan.ranges)} sets, {plan.skipped} skipped"
