"""Calls of NextDatum on their way from whoever called to the thread that runs datums, one at a time.

A call waits until it is answered, until the user code that made it has been killed, or until its caller is gone.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Sequence


class Asked:
    """One call. error: what its caller says went wrong with the datum before."""

    def __init__(self, error: str) -> None:
        self.error = error
        self.env: Sequence[str] | None = None  # once it is answered; stays None when there will be no answer
        self._over = threading.Event()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def answer(self, env: Sequence[str]) -> None:
        self.env = env
        self._over.set()

    def drop(self) -> None:
        """There will be no answer: its caller is gone, or has been killed."""
        self._over.set()

    def wait(self) -> None:
        self._over.wait()


class AskedInTurn:
    """The calls that wait, oldest first. `fd` is readable when there are some."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._waiting: deque[Asked] = deque()
        self._open = False

    def put(self, error: str) -> Asked:
        """A new call. It is over at once when no set is being worked on."""
        asked = Asked(error)
        with self._lock:
            if self._open:
                self._waiting.append(asked)
                os.eventfd_write(self.fd, 1)
            else:
                asked.drop()
        return asked

    def take(self) -> Asked | None:
        """The oldest call whose caller still waits."""
        with self._lock:
            while self._waiting:
                asked = self._waiting.popleft()
                if not asked.over:
                    return asked
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.fd)
            return None

    def open(self) -> None:
        """From now on calls wait for an answer."""
        with self._lock:
            self._open = True

    def drop_all(self) -> None:
        """The user code has been killed: who asked on its behalf is gone, too."""
        with self._lock:
            while self._waiting:
                self._waiting.popleft().drop()
            self._open = False
