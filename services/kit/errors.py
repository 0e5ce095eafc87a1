"""Kinds of trouble a caller can act on. There is no gRPC here; `kit.rpc.server` turns each kind into a status, once.

A service's own problems subclass these in its `domain/errors.py` with the exact sentence that clients match on.
Elsewhere: which status each kind gets (server.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """What a problem is about, for programs: the parts of google.rpc.ResourceInfo."""

    type: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Violation:
    """A part of a request that is wrong, for programs: the parts of google.rpc.BadRequest."""

    field: str
    description: str


class Problem(Exception):
    """Something a caller can act on. Its sentence is public: deployed clients match on it. Status UNKNOWN."""

    resource: Resource | None = None
    violations: Sequence[Violation] = ()


class Invalid(Problem):
    """The request itself is wrong, whatever the state of the system. INVALID_ARGUMENT."""


class NotFound(Problem):
    """No such thing. NOT_FOUND."""


class AlreadyExists(Problem):
    """The thing is there already. ALREADY_EXISTS."""


class Refused(Problem):
    """Right question, wrong state: asking again will not help. FAILED_PRECONDITION."""


class Unavailable(Problem):
    """Something this answer needs is away for now; ask again. UNAVAILABLE."""


class Exhausted(Problem):
    """No room or quota left, for example a full disk. RESOURCE_EXHAUSTED."""


class Unsupported(Problem):
    """A part of the protocol that is not built yet, named. UNIMPLEMENTED."""


class Forbidden(Problem):
    """The caller may not do this. PERMISSION_DENIED."""


class Contradiction(Problem):
    """What is asked for contradicts what there is; the protocol calls a few of these INTERNAL."""


class TooLong(Problem):
    """The answer takes longer than it may. DEADLINE_EXCEEDED."""


class Corrupt(Problem):
    """Stored bytes are not what their hash says. DATA_LOSS."""


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """What a group holds, in whatever groups inside it."""
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from leaves(one)
        else:
            yield one
