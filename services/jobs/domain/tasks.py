"""Work in flight as tasks, in the namespaces that deployed clients know.

A job that is being planned is one task of preprocessing; each of its datum sets is one of processing.
"""

import hashlib
import json
from dataclasses import dataclass
from urllib.parse import quote

from services.jobs.domain.jobs import Job
from services.jobs.domain.sets import DatumSet, SetState

PREPROCESSING, PROCESSING = "preprocessing", "processing"
RUNNING, SUCCESS, CLAIMED = 1, 2, 4  # numbers of the protocol


@dataclass(frozen=True, slots=True)
class Task:
    """group: the job's id."""

    id: str
    namespace: str
    group: str
    state: int
    input_type: str
    input_data: str


def namespace_of(stage: str, job: Job) -> str:
    key = f"{job.key.project}/{job.key.pipeline}@{job.version:08d}"
    return f"{stage}/pipeline-{quote(key, safe='')}"


def covers(asked: str, namespace: str) -> bool:
    """Whether a request for one namespace means the other; "" means all."""
    return not asked or namespace == asked or namespace.startswith(f"{asked}/")


def of_planning(job: Job) -> Task:
    return _task(job, PREPROCESSING, CLAIMED, "datamill.jobs.Plan", {"job": str(job.key)})


def of_set(job: Job, one: DatumSet, *, held: bool) -> Task:
    state = SUCCESS if one.state is not SetState.OPEN else CLAIMED if held else RUNNING
    facts: dict[str, object] = {"job": str(job.key), "index": one.index, "datums": one.datums}
    return _task(job, PROCESSING, state, "datamill.work.v1.DatumSet", facts | ({"worker": one.worker} if held else {}))


def _task(job: Job, stage: str, state: int, kind: str, facts: dict[str, object]) -> Task:
    lasting = json.dumps([kind, str(job.key), job.version, facts.get("index")])
    id = hashlib.sha256(lasting.encode()).hexdigest()
    return Task(id, namespace_of(stage, job), job.key.id, state, kind, json.dumps(facts))
