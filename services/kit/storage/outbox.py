"""News and the change it tells of are one transaction; a relay carries it to the bus afterwards, at least once.

Add news with `Outbox(tx).add(…)`. The relay hears of commits at once and also looks by itself, so that news left
behind by a crash still goes out.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import LargeBinary, delete, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from datamill.wire import events_v1_pb2 as events
from services.kit.bus import Bus
from services.kit.storage.database import Database, KitBase, UtcTime
from services.kit.time.clock import fresh_id

log = logging.getLogger(__name__)
BATCH = 500
LOOK_AGAIN = timedelta(seconds=5)
FORGET_EVERY = 1.0  # seconds


class OutboxRow(KitBase):
    """A piece of news that has not been published yet."""

    __tablename__ = "outbox"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - a number that came back would be taken for published
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcTime)
    news: Mapped[bytes] = mapped_column(LargeBinary)


_OUTBOX = KitBase.metadata.tables["outbox"]
_ADD = insert(_OUTBOX).returning(_OUTBOX.c.seq, sort_by_parameter_order=True)
Numbered = tuple[int, events.News]  # with the number of its row


class Outbox:
    """News of the caller's transaction."""

    def __init__(self, tx: Session) -> None:
        self._tx = tx

    def add(self, subject: str, key: str, *, at: datetime, facts: Mapping[str, str] | None = None) -> None:
        """Announce `subject` about `key` once this transaction commits."""
        self.add_all([(subject, key, facts)], at=at)

    def add_all(self, some: Sequence[tuple[str, str, Mapping[str, str] | None]], *, at: datetime) -> None:
        """The same for several pieces of news, in order, by one statement."""
        if not some:
            return
        every = [events.News(id=fresh_id(), subject=subject, key=key, facts=facts) for subject, key, facts in some]
        for news in every:
            news.at.FromDatetime(at)
        seqs = self._tx.scalars(_ADD, [{"at": at, "news": news.SerializeToString()} for news in every])
        self._tx.info.setdefault("news", []).extend(zip(seqs, every, strict=True))


class Relay:
    """Publishes the outbox of one database: what this process adds as it hears of it, the rest by looking."""

    def __init__(self, db: Database, bus: Bus) -> None:
        self._db, self._bus = db, bus
        self._wake = asyncio.Event()
        self._heard: list[Numbered] = []
        self._look_at = 0.0  # when to look next; the loop's clock
        self._published: set[int] = set()  # rows whose news is out: deleted now and then, many in one write
        self._forgot_at = 0.0
        self._failing = False
        db.on_commit(self._hear)

    def _hear(self, news: list[Numbered]) -> None:
        for _, one in news:
            self._bus.deliver_here(one)  # listeners in this process need not wait for the network
        if len(self._heard) < BATCH:
            self._heard += news
        else:  # too much to keep: it is found by looking
            self._look_at = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            try:
                await self._publish_some(loop.time())
                self._failing = False
            except Exception:
                if not self._failing:  # an outage is logged once
                    log.exception("news cannot be published now; it stays in the outbox and is tried again")
                self._failing, self._look_at = True, 0.0
                await asyncio.sleep(0.2)
                continue
            try:
                async with asyncio.timeout_at(self._look_at):  # wait_for loses a cancellation on 3.11
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _publish_some(self, now: float) -> None:
        if now >= self._look_at:
            self._look_at = now + LOOK_AGAIN.total_seconds()
            while await self._publish(await self._db.read(_oldest)) == BATCH:
                pass
        heard, self._heard = self._heard, []
        await self._publish(heard)

    async def _publish(self, found: list[Numbered]) -> int:
        some = [(seq, news) for seq, news in found if seq not in self._published]
        if some:
            await self._bus.publish([news for _, news in some])
            self._published.update(seq for seq, _ in some)
        await self._forget_now_and_then()
        return len(found)

    async def _forget_now_and_then(self) -> None:
        """A row that a crash keeps from being deleted is published again; the bus knows its id and drops it."""
        now = asyncio.get_running_loop().time()
        if self._published and (len(self._published) >= BATCH // 2 or now - self._forgot_at >= FORGET_EVERY):
            done, self._published, self._forgot_at = self._published, set(), now
            await self._db.run(_forget, sorted(done))


def _oldest(tx: Session) -> list[Numbered]:
    rows = tx.execute(select(OutboxRow.seq, OutboxRow.news).order_by(OutboxRow.seq).limit(BATCH))
    return [(row.seq, events.News.FromString(row.news)) for row in rows]


def _forget(tx: Session, seqs: list[int]) -> None:
    tx.execute(delete(OutboxRow).where(OutboxRow.seq.in_(seqs)))
