"""The base of a job: the nearest ancestor of its commits that is good and has a job, whose datums may be skipped."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from services.jobs.domain.errors import CommitGone
from services.jobs.domain.jobs import Job, JobKey, JobState
from services.jobs.domain.planning.origins import Origin
from services.jobs.operations.running.results import commits_of
from services.jobs.peers.pfs import CommitRef, Pfs
from services.jobs.storage.jobs import JobStore
from services.jobs.storage.origins import Origins
from services.jobs.storage.sets import SetStore
from services.kit.sortedmap.rows import EMPTY, Root
from services.kit.storage.database import Database


@dataclass(frozen=True, slots=True)
class Base:
    """root: the datums that the commits' content holds already; number: of the job whose they are, or None.

    unknown: id of the commit that the content comes from when no job vouches for it, so it has to go; else "".
    origin: what its plan was made from; recovered_in: records objects that hold all that it RECOVERED.
    """

    root: Root
    number: int | None = None
    unknown: str = ""
    origin: Origin | None = None
    recovered_in: tuple[str, ...] = ()


async def find_base(db: Database, pfs: Pfs, job: Job) -> Base:
    """Walk from the output commit's parent upwards."""
    output, _ = commits_of(job)
    parent = (await pfs.commit(output)).parent
    while parent is not None:
        facts = await pfs.commit(parent)
        if facts.error:
            parent = facts.parent
            continue
        key = JobKey(job.key.project, job.key.pipeline, facts.ref.id)
        found = await db.read(_good, key)
        if found is not None and not await _meta_failed(pfs, facts.ref):
            return found
        return Base(EMPTY, unknown=facts.ref.id)
    return Base(EMPTY)


def _good(tx: Session, key: JobKey) -> Base | None:
    jobs = JobStore(tx)
    found = jobs.find(key)
    if found is None or found.state is not JobState.SUCCESS:
        return None
    recovered = SetStore(tx).records(found.number) if found.counters.recovered else []
    return Base(
        jobs.root(found.number),
        found.number,
        origin=Origins(tx).find(found.number),
        recovered_in=tuple(recovered),
    )


async def _meta_failed(pfs: Pfs, output: CommitRef) -> bool:
    try:
        return bool((await pfs.commit(CommitRef(output.project, output.repo, "meta", output.id))).error)
    except CommitGone:
        return True
