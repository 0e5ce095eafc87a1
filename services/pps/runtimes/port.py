"""What every runtime does: keep a group of equal workers running, and say how it is.

Elsewhere: which groups there should be (duties/groups.py); sandboxed processes (process.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Amounts for one worker; 0 says nothing. gpus: kind and number."""

    cpu: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    gpus: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What a runtime with containers makes of a worker; one without passes over it, and says so of the image.

    user: as a spec writes it, looked up in the image. ports: of the endpoint that others are to reach, and the one that
    user code listens at; 0 for none. labels, annotations: of whatever the runtime makes.
    """

    image: str
    user: str = ""
    pull_secrets: tuple[str, ...] = ()
    requests: Resources = Resources()
    limits: Resources = Resources()
    memory_volume: bool = False
    ports: tuple[int, int] = (0, 0)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The workers of one version of a pipeline. spec: a serialized PipelineInfo, which each worker is given.

    env: what each has in its environment, with the addresses of the services as they are reached from this machine; a
    runtime that puts workers on another network has to make these addresses lead there.
    private: folders that each worker has for itself, in memory, whatever the machine or the image has there; workers
    lay the files of secrets in them. secrets: which secrets these are; when it changes, workers are started anew.
    """

    name: str
    version: int
    count: int
    spec: bytes
    env: Mapping[str, str]
    private: tuple[str, ...] = ()
    secrets: str = ""
    container: Container = Container(image="")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """How a group is."""

    requested: int
    available: int
    """Workers that run, and are ready when the runtime can tell."""
    crash: str = ""
    """Why workers keep dying or cannot be started (no such image, nowhere to put them), in words for the user."""
    fatal: str = ""
    """A mistake in the spec that no restart mends; empty while there is none."""


class Runtime(Protocol):
    """A way of running workers."""

    async def ensure(self, group: Group) -> None:
        """Start the group, or bring the one of that name to this version and size. Safe to repeat."""
        ...

    async def stop(self, name: str) -> None:
        """Stop the group and everything its workers started. No error when there is none."""
        ...

    def status(self, name: str) -> GroupStatus | None:
        """How the group is, or None when there is none."""
        ...

    def names(self) -> list[str]:
        """The groups that are running here."""
        ...

    async def prepare(self, count: int, env: Mapping[str, str]) -> None:
        """Keep so many workers ready that belong to no group yet, so that a group's first ones start sooner."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a group's status is another one."""
        ...

    async def close(self) -> None:
        """Stop everything."""
        ...
