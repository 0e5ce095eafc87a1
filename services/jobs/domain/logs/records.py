"""One line of log as a record of its own: its labels, its level, and its text as JSON.

Labels are those that deployed clients know from a store of container logs. Lines of services are JSON already.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import cached_property
from typing import Any

from services.jobs.domain.logs.lines import LogBatch

SERVICES = "pachd"


class Level(IntEnum):
    """How much a line matters. Numbers are those of the protocol."""

    DEBUG = 1
    INFO = 2
    ERROR = 3


LEVELS = {
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "warning": Level.INFO,
    "error": Level.ERROR,
    "critical": Level.ERROR,
}


@dataclass(frozen=True)
class Record:
    """at: nanoseconds since 1970."""

    batch: LogBatch
    at: int
    text: str

    @property
    def labels(self) -> dict[str, str]:
        scope = self.batch.scope
        if not scope.project:
            service = scope.pipeline
            return {"suite": SERVICES, "app": SERVICES, "component": service, "container": service, "pod": service}
        return {
            "suite": SERVICES, "app": "pipeline", "component": "worker", "container": "user", "pod": self.batch.worker,
            "pipelineProject": scope.project, "pipelineName": scope.pipeline,
        }  # fmt: skip

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The line as an object."""
        if not self.batch.scope.project:
            try:
                found = json.loads(self.text)
            except ValueError:
                found = None
            return found if isinstance(found, dict) else self._wrapped()
        batch, scope = self.batch, self.batch.scope
        more: dict[str, Any] = {
            "projectName": scope.project, "pipelineName": scope.pipeline, "jobId": scope.job, "datumId": scope.datum,
            "workerId": batch.worker, "user": batch.user, "master": batch.master,
            "data": [{"path": path, "hash": hash} for path, hash in zip(batch.paths, batch.hashes, strict=True)],
        }  # fmt: skip
        return self._wrapped() | {name: value for name, value in more.items() if value}

    def _wrapped(self) -> dict[str, Any]:
        time = datetime.fromtimestamp(self.at // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return {
            "message": self.text, "time": f"{time}.{self.at % 1_000_000_000:09d}Z",
            "severity": self.level_of_text.name.lower(),
        }  # fmt: skip

    @property
    def level_of_text(self) -> Level:
        """User code has no levels; of a worker's own words those are errors that tell of one."""
        errored = not self.batch.user and self.batch.scope.project and self.text.startswith("errored ")
        return Level.ERROR if errored else Level.INFO

    @property
    def level(self) -> Level:
        if self.batch.scope.project:
            return self.level_of_text
        return LEVELS.get(str(self.fields.get("level", "")).lower(), Level.INFO)

    @property
    def raw(self) -> str:
        """The line as one that is stored somewhere."""
        if self.batch.scope.project:
            return json.dumps(self.fields, ensure_ascii=False, separators=(",", ":"))
        return self.text
