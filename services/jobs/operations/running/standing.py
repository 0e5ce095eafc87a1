"""The job of a service: it stays RUNNING, its one datum in a worker's hands, until the next job can take its place.

What its user code writes is no output, and there is no meta repo beside it.
Elsewhere: the other steps of a job (steps.py); the process itself (services/worker).
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from services.jobs.domain.errors import CommitGone
from services.jobs.domain.jobs import Job, JobState
from services.jobs.domain.planning.inputs import leaves
from services.jobs.operations.running import moving
from services.jobs.operations.running.feeding import Feeding
from services.jobs.operations.wakes import Wakes, waited
from services.jobs.peers.pfs import CommitRef, Pfs
from services.jobs.spec_reader import read_document
from services.jobs.storage.jobs import JobStore
from services.kit.storage.database import Database

SINGLE_DATUM = "services must have a single datum"
LOOK_AGAIN = 1.0


class Tools(Protocol):
    """What this needs of the tools of the steps."""

    @property
    def db(self) -> Database: ...

    @property
    def pfs(self) -> Pfs: ...

    @property
    def wakes(self) -> Wakes: ...


@dataclass(frozen=True)
class Standing:
    """One job of a service. feeding: what puts its set into the queue, None when it does not have a single datum."""

    tools: Tools
    job: Job
    feeding: Feeding | None

    async def until_next(self) -> bool:
        """Wait for a newer job whose inputs are finished. False: this one does not run any more."""
        async with self.tools.wakes.listening(str(self.job.key)) as changed:
            while True:
                found = await self.tools.db.read(moving.get_job, self.job.number)
                if found is None or found.state is not JobState.RUNNING:
                    return False
                for newer in await self._newer():
                    if await self._ready(newer):
                        return True
                if not await waited(changed, LOOK_AGAIN) and self.feeding is not None:
                    await self.feeding.look()

    async def _newer(self) -> list[Job]:
        key = self.job.key
        jobs = await self.tools.db.read(moving.unclosed_jobs, key.project, key.pipeline)
        return [job for job in jobs if job.number > self.job.number and not job.final]

    async def _ready(self, job: Job) -> bool:
        """Whether the inputs of a newer job are finished. One whose commits are gone never gets its turn."""
        key = job.key
        document = await self.tools.db.read(lambda tx: JobStore(tx).spec(job))
        assert document is not None, "a version is kept as long as its jobs"
        tree = read_document(document).tree
        refs = {CommitRef(leaf.project, leaf.repo, "user", key.id) for leaf in leaves(tree)} if tree else set()
        try:
            found = await asyncio.gather(*(self.tools.pfs.commit(ref) for ref in refs))
        except CommitGone:
            return False
        return all(facts.finished for facts in found)
