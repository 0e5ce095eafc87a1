"""Messages as domain values, checked."""

from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.errors import BadRequest, Wrong
from services.jobs.domain.jobs import JobKey

DEFAULT_PROJECT = "default"


def pipeline(message: pps.Pipeline) -> tuple[str, str]:
    """(project, name). Raises BadRequest."""
    if not message.name:
        raise BadRequest("pipeline name is required")
    return message.project.name or DEFAULT_PROJECT, message.name


def job(message: pps.Job) -> JobKey:
    """Raises Wrong."""
    if not message.id or not message.pipeline.name:
        raise Wrong("must specify a job")
    project, name = pipeline(message.pipeline)
    return JobKey(project, name, message.id)
