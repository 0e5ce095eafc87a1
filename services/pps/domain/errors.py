"""What can be wrong with a request about pipelines. Sentences are public: deployed clients match on them."""

from services.kit.errors import AlreadyExists, Invalid, NotFound, Problem, Refused, Unsupported, Violation

SPEC_FIELD = "create_pipeline_v2_request.create_pipeline_request_json"


class PipelineNotFound(NotFound):
    def __init__(self, key: object) -> None:
        super().__init__(f'pipeline "{key}" not found')


class PipelineExists(AlreadyExists):
    def __init__(self, key: object) -> None:
        super().__init__(f'pipeline "{key}" already exists')


class OutputRepoTaken(Problem):
    def __init__(self, name: str) -> None:
        super().__init__(f'pipeline "{name}" cannot be created because a repo with the same name already exists')


class BadSpec(Problem):
    """The spec's content is wrong; one sentence a mistake, one a line."""


class SpecMistakes(BadSpec):
    """All that is wrong with a spec."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.violations = [Violation(SPEC_FIELD, mistake) for mistake in mistakes]


class SpecUnreadable(Invalid):
    """The spec is no readable document, or names fields that do not exist."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("could not make effective spec: " + "; ".join(mistakes))
        self.violations = [Violation(SPEC_FIELD, mistake) for mistake in mistakes]


class DefaultsUnreadable(Invalid):
    """what: "cluster defaults" or "project defaults"."""

    def __init__(self, what: str, mistakes: list[str]) -> None:
        super().__init__(f"invalid {what} JSON: " + "; ".join(mistakes))
        self.violations = [Violation(f"{what.replace(' ', '_')}_json", mistake) for mistake in mistakes]


class CannotRegenerate(Problem):
    """New defaults that a pipeline cannot have; nothing was changed."""

    def __init__(self, key: object, why: object) -> None:
        super().__init__(f"could not regenerate pipeline {key}: {why}")


class NotBuiltYet(Unsupported):
    """The spec asks for something that exists in the protocol but not in this version."""

    def __init__(self, what: list[str]) -> None:
        names = ", ".join(what)
        super().__init__(f"this version of datamill does not support {names} yet; nothing was changed")


class Busy(Refused):
    def __init__(self, key: object, doing: str) -> None:
        super().__init__(f'pipeline "{key}" is just being {doing}; try again in a moment')


class NoSuchVersion(Problem):
    def __init__(self, key: object, versions: int, ancestor: int) -> None:
        super().__init__(f'pipeline "{key}" has only {versions} versions, not enough to find ancestor {ancestor}')


class BadSecret(Invalid):
    """A document that is no secret. The sentence holds none of its values."""


class SecretExists(AlreadyExists):
    def __init__(self, name: str) -> None:
        super().__init__(f'failed to create secret: secrets "{name}" already exists')


class SecretNotFound(NotFound):
    """doing: what was to be done with it, for example "get"."""

    def __init__(self, doing: str, name: str) -> None:
        super().__init__(f'failed to {doing} secret: secrets "{name}" not found')


class SecretUnusable(Refused):
    """A secret that a pipeline needs is missing, or its values cannot be opened."""


class NoCron(Problem):
    def __init__(self) -> None:
        super().__init__("pipeline doesn't have a cron input")
