"""Waking whoever waits for something in this process: an event a name, set by news and by completions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Wakes:
    """Events by name; a name exists while somebody listens."""

    def __init__(self) -> None:
        self._events: dict[str, set[asyncio.Event]] = {}

    @asynccontextmanager
    async def listening(self, name: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever `name` is woken."""
        event = asyncio.Event()
        self._events.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            listeners = self._events[name]
            listeners.discard(event)
            if not listeners:
                del self._events[name]

    def wake(self, name: str) -> None:
        for event in self._events.get(name, ()):
            event.set()


async def waited(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, at most so long, and clear it. False: the time passed."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
