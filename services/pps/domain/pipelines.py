"""A pipeline as this service keeps it, its versions, and its states."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from graphlib import TopologicalSorter
from typing import Any

from services.pps.domain.names import PipelineKey
from services.pps.domain.spec import inputs


class State(IntEnum):
    """Numbers are those of the protocol."""

    STARTING = 1
    RUNNING = 2
    RESTARTING = 3
    FAILURE = 4
    PAUSED = 5
    STANDBY = 6
    CRASHING = 7


MAY_HAVE_WORKERS = frozenset({State.STARTING, State.RUNNING, State.RESTARTING, State.CRASHING, State.STANDBY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a pipeline. spec: completed, what runs."""

    key: PipelineKey
    number: int
    token: str
    spec_commit: str
    salt: str
    spec: dict[str, Any]
    user_json: str
    effective_json: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline with the version in force."""

    key: PipelineKey
    state: State
    reason: str
    stopped: bool
    doing: str
    keep_repo: bool
    force: bool
    created_at: datetime
    workers_started_at: datetime | None
    version: Version
    workers_requested: int = 0
    workers_available: int = 0
    recent_error: str = ""
    """Why workers ended the last time that they did badly; kept when all is well again."""


def set_up_mistake(spec: dict[str, Any]) -> str:
    """What keeps workers of a spec from ever being set up, found only when that is tried; or ""."""
    if spec.get("service") is not None and spec.get("spout") is not None:
        return "only one of pipeline.service or pipeline.spout can be set"
    if float((spec.get("maximumExpectedUptime") or "0s").rstrip("s")) > 0 and not spec.get("autoscaling"):
        return "autoscaling must be true when max_expected_uptime is non-zero"
    return ""


def readers_first(pipelines: Iterable[Pipeline]) -> list[Pipeline]:
    """The same pipelines, each before those whose output it reads."""
    by_key = {str(one.key): one for one in pipelines}
    order = TopologicalSorter[str](dict.fromkeys(by_key, ()))
    for name, one in by_key.items():
        for project, repo, _ in inputs.branches(one.version.spec.get("input")):
            if (read := str(PipelineKey(project, repo))) in by_key:
                order.add(read, name)
    return [by_key[name] for name in order.static_order()]
