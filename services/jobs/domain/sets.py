"""Datum sets: what a worker leases, and where each stands."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

RENEW_BELOW = 2 / 3
"""A lease with less than this part of its time left is written anew when its worker renews it."""


class SetState(IntEnum):
    """OPEN: to be run, leased or not. TAKEN: its results count, its files are not attached yet. DONE: all counted."""

    OPEN = 0
    TAKEN = 1
    DONE = 2


@dataclass(frozen=True, slots=True)
class DatumSet:
    """A set. begin, length: its bytes in the plan object; lease: the queue's handle, "" when nobody has it."""

    job: int
    index: int
    state: SetState
    begin: int
    length: int
    datums: int
    worker: str = ""
    incarnation: str = ""
    lease: str = ""
    lease_until: datetime | None = None
    records: str = ""
    output_files: str = ""
    meta_files: str = ""
    doing: str = ""
    cancelled: str = ""

    def held(self, now: datetime) -> bool:
        """Whether somebody works on it and may go on."""
        return self.state is SetState.OPEN and self.lease_until is not None and self.lease_until > now
