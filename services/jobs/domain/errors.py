"""The problems of Jobs, with the sentences that clients match on."""

from services.jobs.domain.jobs import JobKey
from services.kit.errors import Invalid, NotFound, Problem, Refused, Unavailable, Unsupported


class Wrong(Problem):
    """A request that cannot be right; the protocol answers UNKNOWN with a fixed sentence."""


class InputRefused(Problem):
    """PFS will never give what an input asks for, for example by a glob that cannot be read."""


class JobNotFound(NotFound):
    """No such job."""

    def __init__(self, key: JobKey) -> None:
        super().__init__(f"job {key} not found")


class JobDeleted(NotFound):
    """The job went away while somebody waited for it."""

    def __init__(self, key: JobKey) -> None:
        super().__init__(f"job {key} was deleted")


class PipelineNotFound(NotFound):
    """No such pipeline."""

    def __init__(self, pipeline: str) -> None:
        super().__init__(f'pipeline "{pipeline}" not found')


class DatumNotFound(NotFound):
    """The job has no such datum."""

    def __init__(self, datum: str, key: JobKey) -> None:
        super().__init__(f"datum {datum} not found in job {key}")


class SetNotFound(NotFound):
    """The job has no such datum set."""

    def __init__(self, index: int, key: JobKey) -> None:
        super().__init__(f"job {key} has no datum set {index}")


class FilesGone(Refused):
    """What a worker hands in is not there: made up, or kept for too long."""

    def __init__(self, index: int, key: JobKey) -> None:
        super().__init__(
            f"a file set of datum set {index} of job {key} is not there any more; the datum set is handed out again"
        )


class NoDatumMatches(Problem):
    """RestartDatum found nothing that runs now."""

    def __init__(self, filters: list[str], job_id: str) -> None:
        super().__init__(f"datum matching filter [{' '.join(filters)}] could not be found for job ID {job_id}")


class NotBuilt(Unsupported):
    """A part of the protocol that is refused by name."""


class CommitGone(NotFound):
    """A commit that a job needs was dropped."""


class BadRequest(Invalid):
    """A request that is wrong whatever the state."""


class Superseded(Refused):
    """The job has moved on since this step began; the step's work is dropped."""


class ObjectGivenUp(Unavailable):
    """What was stored was not used for so long that it was given up; doing it again stores it again."""

    def __init__(self) -> None:
        super().__init__("the jobs service was away for so long that what this call stored was given up; try again")


class NotPlanned(Refused):
    """The job does not know its datums yet."""

    def __init__(self, key: JobKey) -> None:
        super().__init__(f"job {key} has not found its datums yet; `why job` says what it is waiting for")


class PasswordMissing(Problem):
    def __init__(self) -> None:
        super().__init__("must set PACHYDERM_SQL_PASSWORD")
