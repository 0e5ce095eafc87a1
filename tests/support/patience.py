"""Waiting for a condition, with a deadline, in tests."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], *, within: float = 120.0, every: float = 0.05) -> T:
    """Call `look` until it returns something true, and return that. Raises AssertionError at the deadline."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s; last seen: {found!r}")
        time.sleep(every)
