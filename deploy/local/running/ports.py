"""Ports of the loopback: free ones for the parts, and who has the one that the user asked for."""

import socket
from contextlib import ExitStack
from pathlib import Path

from deploy.local.layout import CannotRun

LISTENING = "0A"


def free_ports(count: int) -> list[int]:
    """As many different ports as asked for; they were free a moment ago."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


def claim(port: int, beyond: str = "") -> int:
    """The port the gateway will have: `port` itself, or a free one for 0. Raises CannotRun when it is taken.

    beyond: another address of this machine that must be usable, too.
    """
    if not 0 <= port < 65536:
        raise CannotRun(f"port {port} is not a port: choose one from 1 to 65535, or 0 for any free one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are closing do not count
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except PermissionError:
            raise CannotRun(f"port {port} needs root: choose one above 1023 with --port") from None
        except OSError:
            who = listener_on(port)
            by = f" by {who}" if who else ""
            raise CannotRun(
                f"port {port} is in use{by}: stop that, or choose another port with --port N (0: any free one)"
            ) from None
        found = int(probe.getsockname()[1])
    if beyond:
        _usable(beyond, found)
    return found


def _usable(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise CannotRun(f"cannot listen on {address}, port {port}: {error.strerror}") from None


def listener_on(port: int) -> str | None:
    """ "name (pid N)" of the process that listens on a TCP port, where this user may know it."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = {str(link.readlink()) for link in (process / "fd").iterdir()}
            if held & inodes:
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return None


def _listening_inodes(port: int) -> list[str]:
    """Fields as in proc(5), /proc/net/tcp: local address, state and inode are the 2nd, 4th and 10th."""
    found: list[str] = []
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        rows = map(str.split, lines)
        found += [row[9] for row in rows if row[3] == LISTENING and int(row[1].rsplit(":", 1)[1], 16) == port]
    return found
