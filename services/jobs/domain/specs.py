"""What Jobs needs to know of a pipeline's version."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.jobs.domain.jobs import PIPELINE_STOPPED, PIPELINE_UPDATED
from services.jobs.domain.planning.inputs import Input
from services.jobs.domain.planning.plans import SetRule


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """One version of a pipeline. document: the whole of it as PPS sends it, kept for answers about its jobs.

    made: when the pipeline was, by the clock of PPS. It tells pipelines apart that have had one name in turn, whose
    versions are numbered from 1 each; it is held against itself only, never against another time.
    """

    project: str
    name: str
    made: datetime
    version: int
    spec_commit: str
    output_branch: str
    tree: Input | None
    """None: it has no datums (a spout)."""
    salt: str
    parallelism: int
    sets: SetRule
    job_timeout: timedelta | None
    every_job: bool
    runs_jobs: bool
    stopped: bool
    failed: str
    """Why nothing can run it, when PPS said so; an update cures it."""
    document: bytes
    egress: bytes = b""
    """Where the outputs of a job are copied to, as PPS sends it; empty: nowhere."""
    egress_secret: tuple[str, str] = ("", "")
    """Name and key of the secret that has the password of the database there."""
    service: bool = False
    """Its jobs stay RUNNING until the next one, and have no meta commits."""

    @property
    def full_name(self) -> str:
        return f"{self.project}/{self.name}"

    def ends(self, version: int) -> str:
        """Why a job of a version that was there before this was learnt must not run; "" when it may.

        Of a later version this knows nothing: it was made since.
        """
        if self.stopped:
            return PIPELINE_STOPPED
        if version < self.version:
            return PIPELINE_UPDATED
        return self.failed if version == self.version else ""
