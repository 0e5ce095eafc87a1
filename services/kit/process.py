"""The life of a service's process: settings, logging and telemetry, then its `main` until that ends.

What an operator can put right ends it with a line on standard error and status 1; anything else is a bug, and shows
where it happened.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Protocol, TypeVar

from services.kit import config
from services.kit.errors import Unavailable, leaves
from services.kit.rpc.server import PortInUse
from services.kit.storage.migrations import WrongSchema
from services.kit.telemetry import start_logging, start_telemetry

OPERATORS = (config.ConfigError, PortInUse, WrongSchema, Unavailable)


class Common(Protocol):
    """What the settings of every service say."""

    @property
    def otlp_collector(self) -> str: ...
    @property
    def log_level(self) -> str: ...


S = TypeVar("S", bound=Common)


def run(name: str, settings: type[S], main: Callable[[S], Coroutine[None, None, None]]) -> None:
    """name: of the service, in small letters; its settings begin with it in capitals and "_"."""
    start_logging(name)
    told: list[str] = []
    try:
        found = config.read(settings, prefix=f"{name.upper()}_", environ=os.environ)
        start_telemetry(name, collector=found.otlp_collector, level=found.log_level)
        asyncio.run(main(found))
    except* OPERATORS as mistakes:  # what is raised beside the duties comes in a group
        told.extend(map(str, leaves(mistakes)))
    if told:
        sys.exit("\n".join(told))
