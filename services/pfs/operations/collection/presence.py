"""This process as the collector sees it: a session, the calls that are running, and the names it has for packs.

A call belongs to the epoch that the process knew of when the call began. `quiet` is the oldest epoch that a running
call belongs to: the collector waits until every process is quiet since the collection began, and from then on nobody
can hold a reference that was not to be found in some commit since.
Elsewhere: keeping it alive (duties/presence_keeper.py); the collector (collect.py); rows
(storage/collection/sessions.py).
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_id, fresh_name
from services.pfs.storage.collection.sessions import SessionStore

TTL = timedelta(minutes=10)
A_BATCH = 256  # names are reserved so many at a time, so that a commit of one file pays for none
LOW = 64
HOLDING_NOTHING = ("/datamill.upkeep.v1.", "/datamill.staging.v1.", "/grpc.")  # these are not waited for
WAITING = ("SubscribeCommit", "InspectCommit", "InspectCommitSet")  # they may last for days, and hold nothing


class Presence:
    """Make it with `Presence.open`. Safe for several threads."""

    def __init__(self, db: Database, clock: Clock, *, session: str, epoch: int) -> None:
        self._db, self._clock, self.session = db, clock, session
        self._lock = threading.Lock()
        self._seen = epoch
        self._running = Counter[int]()
        self._names = deque[bytes]()
        self._taken = list[tuple[int, bytes]]()  # with the epoch that was known then
        self.wanting: Callable[[], object] = lambda: None
        """Called, on any thread, when few names are left."""

    @classmethod
    async def open(cls, db: Database, clock: Clock, *, replica: str) -> "Presence":
        session = fresh_id()
        epoch = await db.run(lambda tx: SessionStore(tx).open(session, replica, ttl=TTL))
        made = cls(db, clock, session=session, epoch=epoch)
        await made.reserve()
        return made

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call is running as long as the block."""
        with self._lock:
            epoch = self._seen
            self._running[epoch] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[epoch] -= 1
                if not self._running[epoch]:
                    del self._running[epoch]

    @contextmanager
    def around(self, method: str) -> Iterator[None]:
        """The same for a call of any service, unless it is known to hold nothing."""
        if method.startswith(HOLDING_NOTHING) or method.endswith(WAITING):
            yield
            return
        with self.call():
            yield

    def name(self) -> bytes:
        """A name for a pack, whose row is there already. May block for a transaction."""
        with self._lock:
            name = self._names.popleft() if self._names else None
            few = len(self._names) == LOW
            if name is not None:
                self._taken.append((self._seen, name))
        if few:
            self.wanting()
        if name is not None:
            return name
        fresh = [fresh_name() for _ in range(A_BATCH)]
        self._db.run_here(lambda tx: SessionStore(tx).reserve(fresh, self.session, self._clock.now()))
        with self._lock:
            self._names.extend(fresh)
        return self.name()

    async def reserve(self) -> None:
        """Have names at hand."""
        if len(self._names) <= LOW:
            fresh = [fresh_name() for _ in range(A_BATCH)]
            await self._db.run(lambda tx: SessionStore(tx).reserve(fresh, self.session, self._clock.now()))
            with self._lock:
                self._names.extend(fresh)

    def learn(self, epoch: int) -> int:
        """The epoch is at least this one. Returns since which one the process is quiet."""
        with self._lock:
            self._seen = max(self._seen, epoch)
            return min([self._seen, *self._running])

    def abandoned(self, quiet: int) -> list[bytes]:
        """Names that were given to calls which have ended since; most packs count by now, the others never will."""
        with self._lock:
            old = [name for epoch, name in self._taken if epoch < quiet]
            self._taken = [(epoch, name) for epoch, name in self._taken if epoch >= quiet]
            return old

    async def close(self) -> None:
        """End the session, when no call is running any more."""
        with self._lock:
            unused = list(self._names)
            self._names.clear()
        await self._db.run(lambda tx: SessionStore(tx).close(self.session, unused))
