"""Rules whose first failure ends the run.

Hypothesis takes it that the same draws give the same outcome, and draws a failed example again. PFS makes other ids
each time, and is killed at another moment: the example may pass then, and all that is told is that it was flaky.
Elsewhere: the rules (machine.py).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from hypothesis import stateful

Rule = Callable[..., None]


class Failed(BaseException):
    """Passes through Hypothesis, which repeats what raises an Exception. Its cause is what went wrong."""


class Unrepeatable(stateful.RuleBasedStateMachine):
    """A machine that knows when one of its rules has failed."""

    failed = False


def final(step: Rule) -> Rule:
    """Let any failure of a method of such a machine be Failed."""

    @wraps(step)
    def taken(machine: Unrepeatable, *args: Any, **kwargs: Any) -> None:
        try:
            step(machine, *args, **kwargs)
        except Exception as error:
            machine.failed = True
            raise Failed from error

    return taken


def rule(**strategies: Any) -> Callable[[Rule], Any]:
    """A rule that is final."""

    def made(step: Rule) -> Any:
        register: Any = stateful.rule(**strategies)
        return register(final(step))

    return made


def initialize(**strategies: Any) -> Callable[[Rule], Any]:
    """An initializing rule that is final."""

    def made(step: Rule) -> Any:
        register: Any = stateful.initialize(**strategies)
        return register(final(step))

    return made
