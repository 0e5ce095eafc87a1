"""Which datums of a job run, which are skipped, and which are gone; and how those that run are cut into sets.

Works by merging the job's datums with the base job's index, both by ascending id, so memory does not grow with them.
Elsewhere: choosing the base (operations/running/bases.py); carrying the plan out (operations/planning.py).
"""

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


def cut_sets(sizes: Iterable[int], rule: SetRule, *, to_run: int, workers: int) -> Iterator[int]:
    """Lengths of the sets that hold the datums in order. sizes: input bytes of each datum; to_run: how many."""
    number = rule.number
    if not number and not rule.size_bytes:
        number = max(1, to_run // (max(1, workers) * (rule.per_worker or 4)))
    length = gathered = 0
    for size in sizes:
        if length and ((number and length >= number) or (rule.size_bytes and gathered >= rule.size_bytes)):
            yield length
            length = gathered = 0
        length += 1
        gathered += size
    if length:
        yield length
