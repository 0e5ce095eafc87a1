"""Ports of the loopback: free ones for the parts, and who has the one that the user asked for."""

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

from deploy.local.layout import CannotRun

LISTENING = "0A"
LOWEST = 15_000  # well-known servers are below
ATTEMPTS = 100


def free_ports(count: int) -> list[int]:
    """As many different ports as asked for, which nobody had a moment ago.

    They lie below those that the system gives to connections on their way out: one of these would else have a port of
    ours before its part listens there.
    """
    with ExitStack() as held:
        return [_held(held) for _ in range(count)]


def _held(until: ExitStack) -> int:
    for _ in range(ATTEMPTS):
        probe = until.enter_context(socket.socket())
        with suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(LOWEST, max(LOWEST + 1, _outgoing()))))
            return int(probe.getsockname()[1])
    probe = until.enter_context(socket.socket())
    probe.bind(("127.0.0.1", 0))
    return int(probe.getsockname()[1])


def _outgoing() -> int:
    """The first port that outgoing connections get. Source: ip(7)."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32768


def claim(port: int, beyond: str = "") -> int:
    """The port the gateway will have: `port` itself, or a free one for 0. Raises CannotRun when it is taken.

    beyond: another address of this machine that must be usable, too.
    """
    if not 0 <= port < 65536:
        raise CannotRun(f"port {port} is not a port: choose one from 1 to 65535, or 0 for any free one")
    port = port or free_ports(1)[0]
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
    if beyond:
        _usable(beyond, port)
    return port


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
