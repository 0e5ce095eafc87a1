"""What a job waits for: commits, jobs, workers, sets, PFS. Elsewhere: who moves it on (running/steps.py)."""

from dataclasses import dataclass
from datetime import datetime

from services.jobs.domain.errors import CommitGone, PipelineNotFound
from services.jobs.domain.explaining import Wait, Waits
from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.domain.planning.inputs import leaves
from services.jobs.domain.specs import PipelineSpec
from services.jobs.operations import reading
from services.jobs.operations.running import moving
from services.jobs.operations.running.bases import commits_of
from services.jobs.operations.running.standing import SINGLE_DATUM
from services.jobs.operations.running.tools import Tools
from services.jobs.operations.work import activity
from services.jobs.peers.pfs import CommitFacts, CommitRef
from services.jobs.peers.pps import Pps
from services.jobs.spec_reader import read_document
from services.jobs.storage.sets import SetStore


@dataclass(frozen=True)
class Looking:
    """Answers why for one service."""

    tools: Tools
    pps: Pps

    async def waits(self, job: Job) -> list[Wait]:
        """All that a job waits for; nothing when it has ended."""
        match job.state:
            case JobState.CREATED | JobState.STARTING:
                waits = [*await self._before(job), *await self._inputs(job)]
                return waits or [Wait(Waits.PLANNING)]
            case JobState.RUNNING:
                return await (self._sets(job) if job.awaits is None else self._first_sets(job))
            case JobState.EGRESSING:
                return [Wait(Waits.EGRESS, reason=job.reason)]
            case JobState.FINISHING:
                return [wait for ref in commits_of(job) if (wait := await self._validated(ref)) is not None]
            case _:
                return []

    async def _before(self, job: Job) -> list[Wait]:
        """The nearest job before it that has not ended."""
        older = await self.tools.db.read(moving.unclosed_jobs, job.key.project, job.key.pipeline)
        older = [one for one in older if one.number < job.number and not one.final]
        return [Wait(Waits.JOB_BEFORE, one.started or one.created, job=one) for one in older[-1:]]

    async def _first_sets(self, job: Job) -> list[Wait]:
        """The datums that run beside the job before it; the others wait for that job's end."""
        sets = [wait for wait in await self._sets(job) if wait.what is not Waits.VALIDATION]
        return [*sets, *await self._before(job)] or [Wait(Waits.PLANNING)]

    async def _inputs(self, job: Job) -> list[Wait]:
        spec = await self._spec(job)
        if spec is None or spec.tree is None:
            return []
        repos = dict.fromkeys((leaf.project, leaf.repo) for leaf in leaves(spec.tree))
        found = [await self._input(CommitRef(*repo, "user", job.key.id)) for repo in repos]
        return [wait for wait in found if wait is not None]

    async def _spec(self, job: Job) -> PipelineSpec | None:
        document = await self.tools.db.read(reading.document_of, job)
        return None if document is None else read_document(document)

    async def _input(self, wanted: CommitRef) -> Wait | None:
        """The commit that the job reads, while it is not finished."""
        try:
            facts = await self.tools.pfs.commit(wanted)
        except CommitGone:
            return None
        if facts.finished:
            return None
        ref = facts.ref
        writer = await self.tools.db.read(moving.find_job, JobKey(ref.project, ref.repo, ref.id))
        what = Waits.INPUT_OPEN if facts.open else Waits.INPUT_FINISHING
        return Wait(what, _since(facts), _named(ref), writer)

    async def _sets(self, job: Job) -> list[Wait]:
        now, spec = self.tools.clock.now(), await self._spec(job)
        if spec is not None and spec.service and job.counters.total != 1:
            return [Wait(Waits.NEXT_JOB, job.started, reason=f"{SINGLE_DATUM}, and it has {job.counters.total}")]
        what = Waits.NEXT_JOB if spec is not None and spec.service else Waits.SET_LEASED
        sets, datums = await self.tools.db.read(lambda tx: SetStore(tx).free_of(job.number, now))
        held = await self.tools.db.read(activity.of_job, job.number)
        leased = [
            Wait(what, one.started, worker=one.worker, sets=1, datums=one.set.datums)
            for one in held
            if one.set.held(now)
        ]
        waits = [*leased, *([Wait(Waits.SETS_OPEN, job.started, sets=sets, datums=datums)] if sets else [])]
        if sets and not leased:
            waits = [*await self._workers(job), *waits]
        return waits or [Wait(Waits.VALIDATION, commit=_named(commits_of(job)[0]))]

    async def _workers(self, job: Job) -> list[Wait]:
        """Why nobody takes the sets, when there is nobody."""
        try:
            health = await self.pps.health(job.key.project, job.key.pipeline)
        except PipelineNotFound:
            return [Wait(Waits.WORKERS, reason="the pipeline was deleted")]
        if health.available:
            return []
        why = health.reason or f"none of {health.requested} is up"
        return [Wait(Waits.WORKERS, reason=f"the pipeline is {health.state}: {why}")]

    async def _validated(self, ref: CommitRef) -> Wait | None:
        try:
            facts = await self.tools.pfs.commit(ref)
        except CommitGone:
            return None
        return None if facts.finished else Wait(Waits.VALIDATION, facts.closed, _named(facts.ref))


def _since(facts: CommitFacts) -> datetime | None:
    return facts.closed or facts.started


def _named(ref: CommitRef) -> tuple[str, str, str, str]:
    return ref.project, ref.repo, ref.type, ref.id
