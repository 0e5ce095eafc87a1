"""Which lines of log somebody asks for.

Elsewhere: how lines are packed (lines.py); where they are read from (operations/history/reading.py).
"""

from dataclasses import dataclass, replace

from services.jobs.domain.logs.lines import LogBatch, subject_of

EVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """What is empty matches anything. since, until: nanoseconds since 1970, both included. filters: inputs, all of
    which a line must belong to.

    services: lines of the services themselves, with `pipeline` for the name of one, instead of those of pipelines.
    """

    project: str = ""
    pipeline: str = ""
    job: str = ""
    datum: str = ""
    since: int = 0
    until: int = EVER
    master: bool | None = None
    user: bool | None = None
    filters: tuple[str, ...] = ()
    services: bool = False

    @property
    def subject(self) -> str:
        """Where in the stream these lines are, with others perhaps."""
        return subject_of(self.project, self.pipeline, self.job, self.datum, services=self.services)

    def taken(self, batch: LogBatch) -> LogBatch | None:
        """The lines of a batch that are asked for, if any."""
        if bool(batch.scope.project) is self.services:
            return None
        if self.master not in (None, batch.master) or self.user not in (None, batch.user):
            return None
        scope = batch.scope
        pairs = ((self.project, scope.project), (self.pipeline, scope.pipeline), (self.job, scope.job))
        if any(wanted and wanted != found for wanted, found in (*pairs, (self.datum, scope.datum))):
            return None
        if not batch.lines or not batch.matches(self.filters):
            return None
        if self.since <= batch.lines[0][0] and batch.lines[-1][0] <= self.until:
            return batch
        lines = tuple(line for line in batch.lines if self.since <= line[0] <= self.until)
        return replace(batch, lines=lines) if lines else None
