"""Which jobs there are: one for every open commit on the output branch of a pipeline, made once.

Asked for by news, by whoever asks for a job that is missing, and by the reconciler; all lead here.
The version of a job is the one whose spec commit its output commit was made from, so it does not depend on who is
faster, PPS or the news.
"""

import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from services.jobs.domain.errors import CommitGone, PipelineNotFound
from services.jobs.domain.jobs import Job, JobKey
from services.jobs.domain.specs import PipelineSpec
from services.jobs.operations.running.moving import Wanted, create_jobs, find_job, find_jobs
from services.jobs.peers.pfs import CommitFacts, CommitRef, Pfs
from services.jobs.peers.pps import Pps
from services.kit.storage.database import Database
from services.kit.time.clock import Clock

log = logging.getLogger(__name__)


MOST_VERSIONS = 1_000


@dataclass(frozen=True)
class Creator:
    """Makes jobs."""

    db: Database
    pfs: Pfs
    pps: Pps
    clock: Clock
    _versions: dict[tuple[str, str, str], PipelineSpec] = field(default_factory=dict)
    """What PPS has said of the spec commits of pipelines: a version never changes."""

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

    async def ensure_all(self, keys: Sequence[JobKey]) -> list[Job]:
        """The jobs of commits that have just been opened, by one transaction as far as possible."""
        found = await self.db.read(find_jobs, keys)
        facts = await self._facts([key for key in keys if key not in found])
        parents = [_key_of(one.parent) for one in facts if one.parent is not None]
        known = await self.db.read(find_jobs, parents) if parents else {}
        made = dict[JobKey, tuple[CommitFacts, PipelineSpec]]()
        for one in facts:
            if one.parent is not None and (parent := _key_of(one.parent)) not in known and parent not in made:
                job = await self.ensure_for(one)
                found |= {} if job is None else {job.key: job}
                continue
            version = await self._version(one, None) if _may_have_job(one) else None
            if version is not None and _starts(one, version):
                made[_key(one)] = one, version
        return [*found.values(), *await self._make(list(made.values()))]

    async def _facts(self, keys: Sequence[JobKey]) -> list[CommitFacts]:
        """Of the commits that are there. Those of one set are asked for together."""
        found, sets = list[CommitFacts](), dict[str, set[JobKey]]()
        for key in keys:
            sets.setdefault(key.id, set()).add(key)
        for id, wanted in sets.items():
            if len(wanted) > 1:
                found += [one for one in await self.pfs.commits_of_set(id) if _is_output(one) and _key(one) in wanted]
                continue
            (key,) = wanted
            with suppress(CommitGone):
                found.append(await self.pfs.commit(CommitRef(key.project, key.pipeline, "user", id)))
        return found

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
            found = None
            if version is not None and _starts(one, version):
                (found,) = await self._make([(one, version)])
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

    async def _make(self, some: Sequence[tuple[CommitFacts, PipelineSpec]]) -> list[Job]:
        if not some:
            return []
        now = self.clock.now()
        wanted = [
            Wanted(
                _key(facts),
                pipeline_made=version.made,
                version=version.version,
                output_branch=version.output_branch,
                document=version.document,
                traceparent=f"00-{facts.ref.id}-{secrets.token_hex(8)}-01",
            )
            for facts, version in some
        ]
        jobs = await self.db.run(create_jobs, wanted, now=now)
        for job in jobs:
            log.info("job %s is made, for version %d", job.key, job.version)
        return jobs

    async def _version(self, facts: CommitFacts, spec: PipelineSpec | None) -> PipelineSpec | None:
        """The version that the commit was made for. None: PPS does not know it yet, or never will."""
        ref = facts.ref
        for commit in facts.spec_commits:
            if known := self._versions.get((ref.project, ref.repo, commit)):
                return known
        try:
            now = spec or await self.pps.pipeline(ref.project, ref.repo)
        except PipelineNotFound:
            return None
        if now.spec_commit in facts.spec_commits:
            return self._known(now)
        versions = await self.pps.versions(ref.project, ref.repo)
        found = next((old for old in versions if old.spec_commit in facts.spec_commits), None)
        return found and self._known(found)

    def _known(self, version: PipelineSpec) -> PipelineSpec:
        while len(self._versions) >= MOST_VERSIONS:
            del self._versions[next(iter(self._versions))]
        return self._versions.setdefault((version.project, version.name, version.spec_commit), version)

    def forget(self, project: str, pipeline: str) -> None:
        """There is news of a pipeline: it may be gone."""
        for key in [key for key in self._versions if key[:2] == (project, pipeline)]:
            del self._versions[key]

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

    async def inputs_of(self, job: Job) -> frozenset[CommitRef]:
        """The commits that a job's output commit was made from directly; none when it is gone."""
        key = job.key
        try:
            facts = await self.pfs.commit(CommitRef(key.project, key.pipeline, "user", key.id))
        except CommitGone:
            return frozenset()
        return frozenset(facts.made_from)


def _key(facts: CommitFacts) -> JobKey:
    return _key_of(facts.ref)


def _key_of(ref: CommitRef) -> JobKey:
    return JobKey(ref.project, ref.repo, ref.id)


def _is_output(facts: CommitFacts) -> bool:
    return facts.ref.type == "user"


def _starts(facts: CommitFacts, version: PipelineSpec) -> bool:
    return version.runs_jobs and facts.branch in ("", version.output_branch)


def _may_have_job(facts: CommitFacts) -> bool:
    return _is_output(facts) and facts.open and bool(facts.spec_commits)
