"""Sends spans and lines to Jobs while the work goes on.

A quiet log is sent at once, a busy one in batches of up to 200 ms, a backlog in batches as big as a message may be.
What waits is bounded: `has_room` turns false and whoever reads user output stops reading until it is true again.
While Jobs is away batches are kept and tried again; only a batch that Jobs refuses for good is dropped, and that is
logged.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from services.worker.peers.calls import Peers, Trouble
from services.worker.telemetry import wire
from services.worker.telemetry.spans import Attribute, Lines, LogContext, Span, now, sayable

log = logging.getLogger(__name__)
LONGEST_WAIT = 0.2
QUIET_WAIT = 0.01
BUSY_LINES = 128
BATCH_BYTES = 2 << 20
ROOM_BYTES = 8 << 20
HARD_LIMIT_BYTES = 32 << 20  # spans and the worker's own lines are not held back, so they need a limit too
ITEM_COST = 200
LINE_COST = 80


class Exporter:
    """One thread that sends; any thread may add. strike: takes what nobody may read out of a text."""

    def __init__(self, peers: Peers, resource: Mapping[str, Attribute], strike: Callable[[str], str] = str) -> None:
        self._peers = peers
        self._resource = resource
        self._strike = strike
        self._items: deque[tuple[Span | Lines, int, int]] = deque()
        self._bytes = 0
        self._count = 0
        self._lost = 0
        self._sent_at = 0.0
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._in_flight = False
        self._thread = threading.Thread(target=self._send_on, name="telemetry", daemon=True)
        self._thread.start()

    def has_room(self) -> bool:
        return self._bytes < ROOM_BYTES

    def lines(self, context: LogContext, stream: str, texts: list[str]) -> None:
        if self._strike is not str:
            texts = list(map(self._strike, texts))
        cost = ITEM_COST + sum(map(len, texts)) + LINE_COST * len(texts)
        self._add(Lines(context, now(), stream, tuple(texts)), cost, len(texts))

    def say(self, context: LogContext, text: str) -> None:
        """A line of the worker's own."""
        self.lines(context, "", [sayable(text)])

    def span(self, span: Span) -> None:
        if not span.id.wanted:
            return
        if span.error:
            span = replace(span, error=sayable(self._strike(span.error)))
        self._add(span, ITEM_COST, 1)

    def flush(self, seconds: float) -> bool:
        """Wait until everything is sent. False: time is up."""
        with self._changed:
            self._sent_at = 0.0
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._items and not self._in_flight, seconds)

    def close(self, seconds: float) -> None:
        """Send what is left, for at most `seconds`."""
        self.flush(seconds)
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(1.0)

    def _add(self, item: Span | Lines, cost: int, count: int) -> None:
        with self._changed:
            if self._bytes > HARD_LIMIT_BYTES:
                self._lost += count
                return
            was = self._count
            self._items.append((item, cost, count))
            self._bytes += cost
            self._count += count
            if was == 0 or was < BUSY_LINES <= self._count:
                self._changed.notify_all()

    def _send_on(self) -> None:
        while not self._stopping.is_set():
            batch = self._next_batch()
            if batch:
                try:
                    self._send(batch)
                except Exception:
                    log.exception("log lines and spans cannot be sent and are lost")
                with self._changed:
                    self._in_flight = False
                    self._sent_at = time.monotonic()
                    self._changed.notify_all()

    def _next_batch(self) -> list[Span | Lines]:
        with self._changed:
            self._changed.wait_for(lambda: self._count > 0 or self._stopping.is_set())
            due = max(self._sent_at + LONGEST_WAIT, time.monotonic() + QUIET_WAIT)
            soon = self._sent_at + LONGEST_WAIT / 4
            while not self._stopping.is_set():
                until = (soon if self._count >= BUSY_LINES else due) - time.monotonic()
                if until <= 0 or self._sent_at == 0.0:
                    break
                self._changed.wait(until)
            batch: list[Span | Lines] = []
            size = 0
            while self._items and size < BATCH_BYTES:
                item, cost, count = self._items.popleft()
                batch.append(item)
                size += cost
                self._count -= count
            self._bytes -= size
            self._in_flight = bool(batch)
            return batch

    def _send(self, batch: list[Span | Lines]) -> None:
        export = wire.request(self._resource, batch)
        pause = 0.1
        while not self._stopping.is_set():
            try:
                self._peers.ask(self._peers.traces.Export, export, timeout=10.0)
            except Trouble as trouble:
                if trouble.final:
                    log.error("log lines and spans were refused and are lost: %s", trouble)
                    return
                self._stopping.wait(pause)
                pause = min(pause * 2, 2.0)
            else:
                if self._lost:
                    log.error("%d lines or spans were lost while the jobs service was away", self._lost)
                    self._lost = 0
                return
