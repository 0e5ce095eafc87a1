"""Which datums of a job run, which are skipped, and which are gone; and how those that run are cut into sets.

Works by merging the job's datums with the base job's index, both by ascending id, so memory does not grow with them.
Elsewhere: choosing the base (operations/running/bases.py); carrying the plan out (operations/planning/drafts.py).
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from services.jobs.domain.datums import DatumState


class Fate(Enum):
    """What a job does about a datum."""

    NEW = "new"
    SKIP = "skip"
    RERUN = "rerun"
    """What it wrote before is removed first."""
    GONE = "gone"
    """It was in the base and is no more; what it wrote is removed."""


@dataclass(frozen=True, slots=True)
class Known:
    """A datum in the base job's index."""

    id: bytes
    hash: bytes
    state: DatumState


def fates(
    wanted: Iterable[tuple[bytes, bytes]], base: Iterable[Known], *, every_job: bool = False
) -> Iterator[tuple[bytes, Fate]]:
    """What becomes of each datum. wanted: (id, hash); both sides ascending and unique by id."""
    news, olds = iter(wanted), iter(base)
    new, old = next(news, None), next(olds, None)
    while new is not None or old is not None:
        if old is None or (new is not None and new[0] < old.id):
            assert new is not None
            yield new[0], Fate.NEW
            new = next(news, None)
        elif new is None or old.id < new[0]:
            yield old.id, Fate.GONE
            old = next(olds, None)
        else:
            skips = new[1] == old.hash and old.state is DatumState.SUCCESS and not every_job
            yield old.id, Fate.SKIP if skips else Fate.RERUN
            new, old = next(news, None), next(olds, None)


@dataclass(frozen=True, slots=True)
class SetRule:
    """How datums are put into sets; zeros mean that the rule is not given."""

    number: int = 0
    size_bytes: int = 0
    per_worker: int = 0


MOST_BY_DEFAULT = 2_000
"""Datums in a set when no rule is given: results are seen, and can be lost, a set at a time."""
MOST_LINE_BYTES = 8 << 20
"""What the datums of a set may take in a plan, more than one: a worker gets them in one message."""


def cut_sets(sizes: Iterable[tuple[int, int]], rule: SetRule, *, to_run: int, workers: int) -> Iterator[int]:
    """Lengths of the sets that hold the datums in order.

    sizes: of each datum the bytes of its inputs, and those of its line in the plan; to_run: how many there are.
    """
    number = rule.number or to_run
    if not rule.number and not rule.size_bytes:
        number = min(max(1, to_run // (max(1, workers) * (rule.per_worker or 4))), MOST_BY_DEFAULT)
    most = rule.size_bytes or sys.maxsize
    length = gathered = lines = 0
    for size, line in sizes:
        if length and (length >= number or gathered >= most or lines + line > MOST_LINE_BYTES):
            yield length
            length = gathered = lines = 0
        length += 1
        gathered += size
        lines += line
    if length:
        yield length
