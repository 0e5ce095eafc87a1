"""How pipelines are named."""

import re
from typing import NamedTuple

from services.pps.domain.errors import BadSpec

LONGEST_NAME = 51
LONGEST_RESOURCE = 63
DEFAULT_PROJECT = "default"


class PipelineKey(NamedTuple):
    """A pipeline, whatever its version."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"


def workers_name(pipeline: str, version: int) -> str:
    """What the names of a version's workers begin with. pipeline: project/name."""
    return f"{pipeline.replace('/', '.')}-v{version}"


def check_name(key: PipelineKey) -> None:
    """Raises BadSpec with the first rule that the name breaks."""
    name = key.name
    if not name:
        raise BadSpec("invalid pipeline spec: request.Pipeline.Name cannot be empty")
    if rule := broken_rule(name):
        raise BadSpec(f'invalid pipeline name "{name}": {rule}')
    if not name[0].isalnum():
        raise BadSpec(f'invalid pipeline name "{name}": pipeline names must start with an alphanumeric character')
    if len(name) > LONGEST_NAME:
        excess = len(name) - LONGEST_NAME
        raise BadSpec(f'pipeline name "{name}" is {excess} characters longer than the {LONGEST_NAME} max')
    resource = f"{key.project}-{name}-v99".lower().replace("_", "-")
    if len(resource) > LONGEST_RESOURCE:
        excess = len(resource) - LONGEST_RESOURCE
        raise BadSpec(f'Kubernetes name "{resource}" is {excess} characters longer than the {LONGEST_RESOURCE} max')


def broken_rule(name: str) -> str:
    """What is wrong with the letters of a name of anything; "" if nothing is."""
    if re.fullmatch(r"[a-zA-Z0-9_-]+", name):
        return ""
    return f"name ({name}) invalid: only alphanumeric characters, underscores, and dashes are allowed"


def ancestry(name: str) -> tuple[str, int]:
    """A name and how many versions back: "edges^2" is ("edges", 2). Raises BadSpec."""
    if re.fullmatch(r"[^~^.]+\.\d*", name):
        raise BadSpec("cannot inspect future pipelines")
    parts = re.fullmatch(r"([^~^.]+)([~^]*)(\d*)", name)
    if parts is None:
        raise BadSpec(f'invalid pipeline name "{name}"')
    base, mark, count = parts.groups()
    if count and len(mark) > 1:
        raise BadSpec(f'invalid pipeline name "{name}": invalid ancestry format')
    return base, int(count) if mark and count else len(mark)
