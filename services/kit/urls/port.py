"""What every kind of address does, and what can go wrong there. All calls block.

A source is read once, from its beginning; pieces are small, so that a reader's memory does not depend on the length.
Elsewhere: which driver an address means (opening.py), which addresses may be used (rules.py).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Protocol, TypeVar

from services.kit.errors import Forbidden, NotFound, Problem, Unsupported

T = TypeVar("T")
PIECE_BYTES = 1 << 20
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0


class UnknownScheme(Problem):
    def __init__(self, scheme: str) -> None:
        super().__init__(f"unrecognized object store: {scheme}")


class NoDriver(Unsupported):
    def __init__(self, scheme: str, service: str) -> None:
        super().__init__(f"this server has no driver for {scheme} ({service}): use s3, minio, file, http or https")


class BadUrl(Problem):
    """An address that cannot be read."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"bad URL {url!r}: {why}")


class UrlRefused(Forbidden):
    """An address that the operator does not allow."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url} is refused: {why}")


class NothingThere(NotFound):
    def __init__(self, url: str) -> None:
        super().__init__(f"there is nothing at {url}")


class RetrievalFailed(Problem):
    """An address that did not give what it should."""

    def __init__(self, url: str, why: object) -> None:
        super().__init__(f'error retrieving content from "{url}": {why}')


class DeliveryFailed(Problem):
    """An address that did not take what it should."""

    def __init__(self, url: str, why: object) -> None:
        super().__init__(f"error writing to {url}: {why}")


class Unwanted(Exception):
    """Nobody waits any more for what a thread is at."""


def while_wanted(stopped: Event, things: Iterable[T]) -> Iterator[T]:
    """The things, until `stopped` is set; then it raises Unwanted."""
    for thing in things:
        if stopped.is_set():
            raise Unwanted()
        yield thing


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to read. name: what its key says beyond the address, "" for the thing itself; size: None if unknown.

    Pieces may be empty: whoever reads gets to look whether it is still wanted.
    """

    name: str
    size: int | None
    read: Callable[[], Iterator[bytes]]


class Source(Protocol):
    """Something to read from."""

    def items(self) -> Iterator[Item]:
        """What there is, in order. Raises NothingThere, RetrievalFailed, UrlRefused."""
        ...


class Target(Protocol):
    """Something to write to. Safe for several threads."""

    def put(self, name: str, size: int, pieces: Iterator[bytes]) -> None:
        """Write an object of so many bytes, whole or not at all. Raises DeliveryFailed, UrlRefused."""
        ...
