"""Calls of NextDatum on their way from whoever called to the thread that runs datums, one at a time.

A call waits until it is answered, until the user code that made it has been killed, or until its caller is gone.
"""

import threading
from collections import deque

from services.worker.serving.http2 import CANCELLED, Call


class Asked:
    """One call. error: what its caller says went wrong with the datum before."""

    def __init__(self, call: Call, error: str) -> None:
        self.error = error
        self._call = call

    @property
    def over(self) -> bool:
        return self._call.over

    def answer(self, message: bytes) -> None:
        self._call.reply(message)

    def drop(self) -> None:
        """There will be no answer: whoever asked has been killed."""
        self._call.fail(CANCELLED, "the user code that asked for a datum has been stopped")


class AskedInTurn:
    """The calls that wait, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Asked] = deque()
        self._open = False

    def put(self, call: Call, error: str) -> None:
        """A new call. It is over at once when no user code is running."""
        asked = Asked(call, error)
        with self._lock:
            if self._open:
                self._waiting.append(asked)
                return
        asked.drop()

    def take(self) -> Asked | None:
        """The oldest call whose caller still waits."""
        with self._lock:
            while self._waiting:
                asked = self._waiting.popleft()
                if not asked.over:
                    return asked
            return None

    def open(self) -> None:
        """From now on calls wait for an answer."""
        with self._lock:
            self._open = True

    def drop_all(self) -> None:
        """The user code has been killed: who asked on its behalf is gone, too."""
        with self._lock:
            waiting, self._waiting, self._open = self._waiting, deque(), False
        for asked in waiting:
            asked.drop()
