"""Time and fresh ids as things that are handed in, so that domain code and tests can choose them."""

import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; always aware, always UTC."""

    def now(self) -> datetime: ...


Now = Callable[[], datetime]
"""Reads a clock: for work that has to wait for its turn and reads it then."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def fresh_id() -> str:
    """A new id in the protocol's form: 32 lower-case hex digits of a UUIDv4, the 13th being "4"."""
    return uuid.uuid4().hex


def fresh_name() -> bytes:
    """A new 16-byte name for a pack."""
    return secrets.token_bytes(16)
