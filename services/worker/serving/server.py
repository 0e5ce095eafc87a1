"""Connections from this machine, and the thread that serves them while nobody else does.

The thread that runs datums may take over: it then watches `fd` beside the user code it waits for and calls `turn`, so
that a call for the next datum costs no change of threads. While it is busy with something else the server's own
thread looks after the rest, a little later.
"""

import os
import select
import socket
import threading
import time
from contextlib import suppress

from services.worker.serving.http2 import Broken, Connection, Handler

LATE_SECONDS = 0.1


class Server:
    """Listens from the start; serves once `start` was called."""

    def __init__(self, at: str, handlers: dict[str, Handler]) -> None:
        """at: "host:port". Raises OSError."""
        host, _, port = at.rpartition(":")
        self._listener = socket.create_server((host, int(port)), reuse_port=False, backlog=128)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._handlers = handlers
        self._connections: dict[int, Connection] = {}
        self._lock = threading.Lock()
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._nudge, select.EPOLLIN)
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._taken_over = False
        self._watched = False
        self._thread = threading.Thread(target=self._serve, name="server", daemon=True)

    @property
    def fd(self) -> int:
        """Readable when there is something for `turn` to do."""
        return self._epoll.fileno()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        for connection in self._connections.values():
            connection.close()
        self._listener.close()
        self._epoll.close()
        os.close(self._stop)
        os.close(self._nudge)

    def take_over(self, taken: bool) -> None:
        """From now on, or no longer, the caller calls `turn`."""
        self._taken_over = taken

    def watch(self, watched: bool) -> None:
        """Whether who took over is watching `fd` right now."""
        self._watched = watched

    def turn(self) -> None:
        """Serve what is ready, without waiting."""
        with self._lock:
            for fd, events in self._epoll.poll(0):
                if fd == self._listener.fileno():
                    self._accept()
                elif fd == self._nudge:
                    os.eventfd_read(fd)
                else:
                    self._attend(fd, events)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        both = select.poll()
        both.register(self._stop, select.POLLIN)
        both.register(self._epoll.fileno(), select.POLLIN)
        while True:
            if self._taken_over:
                ready = poll.poll(LATE_SECONDS * 1000)
                if not ready and not self._watched:
                    self.turn()
                    os.eventfd_write(self._nudge, 1)  # who took over may have begun to watch meanwhile
            else:
                ready = [each for each in both.poll() if each[0] == self._stop]
                if not ready and not self._taken_over:
                    self.turn()
            if ready:
                return

    def _accept(self) -> None:
        try:
            link, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # out of files; try again when some are closed
            time.sleep(0.01)
            return
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fd = link.fileno()
        self._epoll.register(fd, select.EPOLLIN)
        self._connections[fd] = Connection(link, self._handlers, lambda more: self._listen(fd, more))

    def _listen(self, fd: int, more: bool) -> None:
        with suppress(OSError):  # closed meanwhile
            self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if more else 0))

    def _attend(self, fd: int, events: int) -> None:
        connection = self._connections[fd]
        try:
            if events & select.EPOLLOUT:
                connection.write()
            if events & ~select.EPOLLOUT:
                connection.read()
        except Broken:
            self._epoll.unregister(fd)
            del self._connections[fd]
            connection.close()
