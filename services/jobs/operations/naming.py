"""Names for new objects, noted in the ledger before anything is stored under them.

A name is used within minutes after it was noted, or never: the collector gives up what was noted long ago.
Elsewhere: the ledger (storage/ledger.py); the collector (upkeep/collecting.py).
"""

import threading
import time
from collections import deque
from datetime import timedelta

from services.jobs.storage.ledger import Ledger
from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_name

A_BATCH = 32  # so that a set's results do not cost a transaction more
GOOD_FOR = timedelta(minutes=10)


class Names:
    """Safe for several threads; blocks for a transaction now and then."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._lock = threading.Lock()
        self._names, self._until = deque[bytes](), 0.0

    def fresh(self) -> bytes:
        """16 bytes that nobody else has."""
        with self._lock:
            if not self._names or time.monotonic() > self._until:
                names = [fresh_name() for _ in range(A_BATCH)]
                texts, now = [name.hex() for name in names], self._clock.now()
                self._db.run_here(lambda tx: Ledger(tx).reserve(texts, now))
                self._names, self._until = deque(names), time.monotonic() + GOOD_FOR.total_seconds()
            return self._names.popleft()
