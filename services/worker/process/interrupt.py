"""Why running user code must stop now, told from other threads to the one that waits for it."""

import os
import threading


class Interrupt:
    """At most one attempt is running; `fd` becomes readable when it must stop."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.lost = threading.Event()  # the set is no longer ours: kill and forget
        self.reason = ""
        self._cancelled = False
        self._told = False  # whether `fd` may be readable: looking whether it is costs more than remembering
        self._lock = threading.Lock()

    def lose(self, reason: str) -> None:
        """The whole set is to be dropped."""
        with self._lock:
            if not self.lost.is_set():
                self.reason = reason
                self.lost.set()
            self._tell()

    def cancel(self) -> None:
        """The present attempt is to fail; further tries follow."""
        with self._lock:
            self._cancelled = True
            self._tell()

    def begin_attempt(self) -> None:
        """Forget a cancellation that came too late for the attempt it meant."""
        with self._lock:
            self._cancelled = False
            if not self.lost.is_set():
                self._drain()

    def begin_set(self) -> None:
        with self._lock:
            self.lost.clear()
            self.reason = ""
            self._cancelled = False
            self._drain()

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def _tell(self) -> None:
        self._told = True
        os.eventfd_write(self.fd, 1)

    def _drain(self) -> None:
        if self._told:
            self._told = False
            os.eventfd_read(self.fd)
