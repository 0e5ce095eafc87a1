"""What works on jobs is given to work with. Elsewhere: what it does (steps.py, killing.py, results.py)."""

from dataclasses import dataclass

from services.jobs.domain.jobs import Job
from services.jobs.operations.logs import Logs
from services.jobs.operations.planning.planner import Planner
from services.jobs.operations.wakes import Wakes
from services.jobs.operations.work.queue import Line, Queue
from services.jobs.peers.pfs import Pfs
from services.jobs.peers.pps import Pps
from services.jobs.storage.objects import Indexes
from services.kit.storage.database import Database
from services.kit.time.clock import Clock


@dataclass(frozen=True)
class Tools:
    """For all of a process's jobs."""

    db: Database
    pfs: Pfs
    pps: Pps
    planner: Planner
    indexes: Indexes
    queue: Queue
    logs: Logs
    wakes: Wakes
    clock: Clock


def line_of(job: Job) -> Line:
    """The queue of a job's sets."""
    return Line(job.key.project, job.key.pipeline, job.version)
