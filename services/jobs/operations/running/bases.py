"""What a job stands on: its own commits, those that it reads, and its base.

The base is the nearest ancestor of its commits that is good and has a job, whose datums may be skipped; it may still
run. Elsewhere: what a job does meanwhile (planning/phases.py); what is made of the commits (planning/planner.py).
"""

import asyncio
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from services.jobs.domain.datums import Leaf
from services.jobs.domain.errors import CommitGone, Superseded
from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.domain.planning.inputs import Input, leaves
from services.jobs.domain.planning.origins import Origin
from services.jobs.operations.wakes import Wakes, waited
from services.jobs.peers.pfs import CommitFacts, CommitRef, Pfs
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.origins import Origins
from services.jobs.storage.sets import SetStore
from services.kit.sortedmap.rows import EMPTY, Root
from services.kit.storage.database import Database

LOOK_AGAIN = 2.0


@dataclass(frozen=True, slots=True)
class Base:
    """root: the datums that the commits' content holds already; number: of the job whose they are, or None.

    unknown: whether there is content that no job vouches for, so that it has to go.
    origin: what its plan was made from; recovered_in: records objects that hold all that it RECOVERED.
    """

    root: Root
    number: int | None = None
    unknown: bool = False
    origin: Origin | None = None
    recovered_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """A base that has not ended. older: what the base is if this one ends badly."""

    job: Job
    older: "Base | Running"

    @property
    def planned(self) -> bool:
        """Whether all the datums are known that it, or whichever takes its place, is going to have.

        What nobody vouches for is removed when its turn comes, whichever datum wrote it: nothing may be added before.
        """
        known = self.job.state in (JobState.RUNNING, JobState.EGRESSING, JobState.FINISHING)
        return known and (self.older.planned if isinstance(self.older, Running) else not self.older.unknown)


def commits_of(job: Job) -> tuple[CommitRef, CommitRef]:
    """A job's output and meta commits."""
    key = job.key
    return (
        CommitRef(key.project, key.pipeline, "user", key.id),
        CommitRef(key.project, key.pipeline, "meta", key.id),
    )


async def find_base(db: Database, pfs: Pfs, job: Job) -> Base | Running:
    """Walk from the output commit's parent upwards."""
    output, _ = commits_of(job)
    return await _from(db, pfs, job.key, (await pfs.commit(output)).parent)


async def known_base(db: Database, pfs: Pfs, wakes: Wakes, job: Job) -> Base | Running:
    """The base as soon as all the datums are known that it is going to have."""
    while isinstance(found := await find_base(db, pfs, job), Running) and not found.planned:
        await _moved(db, wakes, found.job)
    return found


async def ended_base(db: Database, pfs: Pfs, wakes: Wakes, job: Job) -> Base:
    """The base as soon as it has ended."""
    while isinstance(found := await find_base(db, pfs, job), Running):
        await _moved(db, wakes, found.job)
    return found


async def _moved(db: Database, wakes: Wakes, job: Job) -> None:
    """Wait until a job stands elsewhere, for some time at most: it may be another one's turn."""
    async with wakes.listening(str(job.key)) as changed:
        now = await db.read(lambda tx: JobStore(tx).get(job.number))
        if now is not None and (now.state, now.closed) == (job.state, job.closed):
            await waited(changed, LOOK_AGAIN)


async def _from(db: Database, pfs: Pfs, key: JobKey, parent: CommitRef | None) -> Base | Running:
    while parent is not None:
        found = await db.read(_known, replace(key, id=parent.id))
        if isinstance(found, Base) and not await _meta_failed(pfs, parent):
            return found  # it is closed, and PFS has found nothing wrong with the output
        facts = await _ancestor(pfs, parent)
        if facts.error:
            parent = facts.parent
            continue
        if isinstance(found, Job):
            return Running(found, await _from(db, pfs, key, facts.parent))
        return Base(EMPTY, unknown=True)
    return Base(EMPTY)


def _known(tx: Session, key: JobKey) -> Base | Job | None:
    """A base that has ended well, or a job whose end is not known yet: a killed one still closes its commits."""
    jobs = JobStore(tx)
    found = jobs.find(key)
    if found is None or (found.closed and found.state is not JobState.SUCCESS):
        return None
    if not found.closed:
        return found
    recovered = SetStore(tx).records(found.number) if found.counters.recovered else []
    return Base(
        jobs.root(found.number),
        found.number,
        origin=Origins(tx).find(found.number),
        recovered_in=tuple(recovered),
    )


async def _ancestor(pfs: Pfs, ref: CommitRef) -> CommitFacts:
    """Raises Superseded: one that was there a moment ago was squashed, and what came after it has another parent."""
    try:
        return await pfs.commit(ref)
    except CommitGone as gone:
        raise Superseded(f"commit {ref.id} is no ancestor any more") from gone


async def _meta_failed(pfs: Pfs, output: CommitRef) -> bool:
    try:
        return bool((await pfs.commit(CommitRef(output.project, output.repo, "meta", output.id))).error)
    except CommitGone:
        return True


async def inputs_of(pfs: Pfs, key: JobKey, tree: Input) -> dict[Leaf, CommitFacts]:
    """The finished commit behind each leaf; those that are not finished are waited for."""
    found = list(dict.fromkeys(leaves(tree)))
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(_input(pfs, key, leaf)) for leaf in found]
    return dict(zip(found, (wait.result() for wait in waits), strict=True))


async def _input(pfs: Pfs, key: JobKey, leaf: Leaf) -> CommitFacts:
    """The commit that the job reads for a leaf: that of its own set, or what the set was made from.

    A meta repo is no input of the output branch, the repo of the same name is: the commit beside its one is read.
    """
    user = await pfs.commit(CommitRef(leaf.project, leaf.repo, "user", key.id), finished=True)
    if leaf.repo_type == "user":
        return user
    meta = replace(user.ref, type=leaf.repo_type)
    return replace(await pfs.commit(meta, finished=True), error=user.error)
