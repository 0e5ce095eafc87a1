"""Messages as domain values, checked. Ids are lower-case here; some clients send them in capitals."""

import re

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.errors import BadRequest, Wrong
from services.jobs.domain.jobs import JobKey
from services.jobs.peers.pfs import CommitRef

DEFAULT_PROJECT = "default"
HEX = re.compile("[0-9a-fA-F]{32}|[0-9a-fA-F]{64}")


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
    return JobKey(project, name, id(message.id))


def commit(message: pfs.Commit) -> CommitRef:
    """Raises Wrong."""
    repo = message.repo if message.HasField("repo") else message.branch.repo
    if not repo.name:
        raise Wrong("commit must have a repo")
    named = message.id or message.branch.name
    return CommitRef(repo.project.name or DEFAULT_PROJECT, repo.name, repo.type or "user", named)


def id(text: str) -> str:
    """The id of a job, a set or a datum. What is none may be a branch, and stays as it is."""
    return text.lower() if HEX.fullmatch(text) else text
