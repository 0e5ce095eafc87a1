"""What a trigger is: a branch that follows another one of its repo once enough has gathered there, or by the clock.

Elsewhere: when triggers are looked at and what they move (operations/triggers); schedules (kit/cron.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.kit.errors import Problem

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


class BadTrigger(Problem):
    """A trigger that cannot be followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """source: the name of the branch that is followed. every: all conditions must hold; else one is enough.

    With `cron` the clock alone decides and conditions are passed over.
    """

    source: str
    every: bool = False
    rate_limit: str = ""
    size: str = ""
    commits: int = 0
    cron: str = ""


def size_bytes(text: str) -> int:
    """A size as people write it, such as 1K (1000 bytes), 1.5 MB or 100. Raises BadTrigger."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise BadTrigger(f"invalid trigger size: invalid size: '{text}'")
    return int(float(found[1]) * 1000 ** _POWERS[found[2].lower()])


def holds(rule: Trigger, conditions: Sequence[bool]) -> bool:
    """Whether conditions that were looked at fire a trigger. Without any, "all of them" holds and "one" does not."""
    return all(conditions) if rule.every else any(conditions)


def commits_since(lineage: Sequence[tuple[str, bool]], old: str, most: int) -> int:
    """How many commits lie between a new head and the set id of the old one, counted no further than `most`.

    lineage: of the new head and its ancestors the set ids, and whether they are somebody's commits: the root of a
    branch that began empty is nobody's.
    """
    count = 0
    for id, counts in lineage:
        if id == old or count >= most:
            break
        count += counts
    return count
