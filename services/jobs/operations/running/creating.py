"""Which jobs there are: one for every open commit on the output branch of a pipeline, made once.

Asked for by news, by whoever asks for a job that is missing, and by the reconciler; all lead here.
The version of a job is the one whose spec commit its output commit was made from, so it does not depend on who is
faster, PPS or the news.
"""

import logging
import secrets
from dataclasses import dataclass

from services.jobs.domain.errors import CommitGone, PipelineNotFound
from services.jobs.domain.jobs import Job, JobKey
from services.jobs.domain.specs import PipelineSpec
from services.jobs.operations.running.moving import create_job, find_job
from services.jobs.peers.pfs import CommitFacts, CommitRef, Pfs
from services.jobs.peers.pps import Pps
from services.kit.storage.database import Database
from services.kit.time.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Creator:
    """Makes jobs."""

    db: Database
    pfs: Pfs
    pps: Pps
    clock: Clock

    async def ensure(self, key: JobKey) -> Job | None:
        """The job of this name, made now if its commit is open. None: there is none to be."""
        found = await self.db.read(find_job, key)
        if found is not None:
            return found
        try:
            facts = await self.pfs.commit(CommitRef(key.project, key.pipeline, "user", key.id))
        except CommitGone:
            return None
        return await self.ensure_for(facts)

    async def ensure_for(self, facts: CommitFacts, spec: PipelineSpec | None = None) -> Job | None:
        """The job of a commit, made now if it is open and a pipeline's. spec: the version in force.

        Open ancestors get theirs first: jobs run in the order they are made, PFS finishes a commit after its parent.
        """
        waiting, found = [facts], await self.db.read(find_job, _key(facts))
        while found is None and (older := await self._open_parent(waiting[-1])) is not None:
            waiting.append(older)
        for one in reversed(waiting if found is None else []):
            version = await self._version(one, spec) if _may_have_job(one) else None
            if version is None and _may_have_job(one):
                return None  # PPS does not know the version yet; whoever tells that it does comes back here
            if version is not None and version.runs_jobs and one.branch in ("", version.output_branch):
                found = await self._make(one, version)
            else:
                found = None
        return found

    async def _open_parent(self, facts: CommitFacts) -> CommitFacts | None:
        """The commit's parent, if it is open and has no job."""
        if facts.parent is None or not _may_have_job(facts):
            return None
        ref = facts.parent
        if await self.db.read(find_job, JobKey(ref.project, ref.repo, ref.id)) is not None:
            return None
        try:
            older = await self.pfs.commit(ref)
        except CommitGone:
            return None
        return older if older.open else None

    async def _make(self, facts: CommitFacts, version: PipelineSpec) -> Job:
        key = _key(facts)
        job = await self.db.run(
            create_job,
            key,
            version=version.version,
            output_branch=version.output_branch,
            document=version.document,
            traceparent=f"00-{key.id}-{secrets.token_hex(8)}-01",
            now=self.clock.now(),
        )
        log.info("job %s is made, for version %d", key, version.version)
        return job

    async def _version(self, facts: CommitFacts, spec: PipelineSpec | None) -> PipelineSpec | None:
        """The version that the commit was made for. None: PPS does not know it yet, or never will."""
        ref = facts.ref
        try:
            now = spec or await self.pps.pipeline(ref.project, ref.repo)
        except PipelineNotFound:
            return None
        if now.spec_commit in facts.spec_commits:
            return now
        versions = await self.pps.versions(ref.project, ref.repo)
        return next((old for old in versions if old.spec_commit in facts.spec_commits), None)

    async def ensure_pipeline(self, spec: PipelineSpec) -> list[Job]:
        """The jobs of all open commits on a pipeline's output branch."""
        commits = await self.pfs.open_commits(spec.project, spec.name, spec.output_branch)
        jobs = [await self.ensure_for(facts, spec) for facts in commits]
        return [job for job in jobs if job is not None]

    async def ensure_set(self, id: str) -> list[CommitFacts]:
        """The jobs of a commit set. Returns its commits, upstream first."""
        commits = await self.pfs.commits_of_set(id)
        for facts in commits:
            await self.ensure_for(facts)
        return commits

    async def inputs_of(self, job: Job) -> set[tuple[str, str]]:
        """(repo, id) of the commits that a job's output commit was made from directly; none when it is gone."""
        key = job.key
        try:
            facts = await self.pfs.commit(CommitRef(key.project, key.pipeline, "user", key.id))
        except CommitGone:
            return set()
        return {(above.repo, above.id) for above in facts.made_from}


def _key(facts: CommitFacts) -> JobKey:
    return JobKey(facts.ref.project, facts.ref.repo, facts.ref.id)


def _may_have_job(facts: CommitFacts) -> bool:
    return facts.ref.type == "user" and facts.open and bool(facts.spec_commits)
