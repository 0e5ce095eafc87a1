"""What an instance on one machine consists of: five programs, their settings, and how each is asked whether it works.

The order is that of starting; stopping goes the other way. Elsewhere: keeping them running (supervisor.py).
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.envoy.descriptors import descriptors
from deploy.envoy.render import Gateway, render
from deploy.local import binaries, database, store
from deploy.local.choices import Choices
from deploy.local.layout import Layout, write_whole
from deploy.local.running.drain import SOCKET, drain
from deploy.local.running.ports import free_ports
from deploy.local.running.probe import Answer, ask_grpc, ask_nats

ROOT = Path(__file__).parents[3]
MARK = "DATAMILL_INSTANCE"  # in the environment of all that belongs to an instance; holds its data directory
DRAIN_SECONDS = "5"
MAX_PAYLOAD_BYTES = 8 << 20
# Settings of the C library, mallopt(3): packs of 16 MiB go back to the system at once instead of staying in the process
# (100 MiB less after an upload), and threads share two arenas.
FRUGAL = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 20)}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One program of the instance."""

    name: str
    title: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    port: int
    ask: Callable[[int], Awaitable[Answer]]
    cwd: Path = ROOT
    drain: Callable[[], Awaitable[None]] | None = None
    """Takes nothing new and lets what runs end, before the part is told to stop."""


REPLICA = "local"  # each service finds its leases by this after `up`: its address is another one every time


def plan(layout: Layout, *, port: int, token: str, choices: Choices) -> list[Part]:
    """The parts in the order of starting, with fresh ports; writes the configuration files. Raises CannotRun."""
    nats, pfs, jobs, pps, web = free_ports(5)
    at = {"pfs": f"127.0.0.1:{pfs}", "jobs": f"127.0.0.1:{jobs}", "pps": f"127.0.0.1:{pps}"}
    nats_url = f"nats://{token}@127.0.0.1:{nats}"
    own = {
        "pfs": {"REPLICA": REPLICA, "HTTP_LISTEN": f"127.0.0.1:{web}", "HTTP_ORIGINS": ",".join(choices.origins)},
        "jobs": {
            "REPLICA": REPLICA,
            "PFS": at["pfs"],
            "PPS": at["pps"],
        },
        "pps": {
            "REPLICA": REPLICA,
            "RUNTIME_DIR": str(layout.data_dir / "pps" / "runtime"),
            "WORKER_PYTHON": sys.executable,
            "PFS": at["pfs"],
            "JOBS": at["jobs"],
        },
    }
    parts = [_nats(layout, nats, token)]
    for name, number in (("pfs", pfs), ("jobs", jobs), ("pps", pps)):
        common = {"LISTEN": at[name], "NATS_URL": nats_url, "SERVICE_TOKEN": token, "DRAIN": DRAIN_SECONDS}
        if choices.database_url:
            common["DATABASE_URL"] = database.of_service(name, choices.database_url)
        if name == "pps":
            besides = inside(port)
        else:
            common["STORE"], besides = store.of_service(layout, name, choices.store), store.credentials(choices.store)
        parts.append(_service(layout, name, number, {**common, **own[name]}, besides))
    return [*parts, _gateway(layout, port, {**at, "web": f"127.0.0.1:{web}"}, choices)]


def inside(port: int) -> Mapping[str, str]:
    """Where user code finds the instance; foreign clients look there. It has it from PPS, which starts workers."""
    return {"PACHD_PEER_SERVICE_HOST": "127.0.0.1", "PACHD_PEER_SERVICE_PORT": str(port)}


def environment(layout: Layout) -> dict[str, str]:
    """What every part inherits, and so does user code: the user's environment and the mark of the instance.

    Our own programs come last on PATH: user code finds `datamill`, and the interpreter that its user has.
    """
    ours = {"PYTHONPATH", "PYTHONHOME", database.VARIABLE, *store.withheld(layout)}  # user code would inherit them, too
    inherited = {key: value for key, value in os.environ.items() if key not in ours}
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    scripts = str(binaries.SCRIPTS)
    path += [scripts] if scripts not in path else []
    return {**inherited, "PATH": os.pathsep.join(path), MARK: str(layout.data_dir)}


def _service(layout: Layout, name: str, port: int, settings: Mapping[str, str], besides: Mapping[str, str]) -> Part:
    folder = layout.data_dir / name
    folder.mkdir(exist_ok=True)
    memory = FRUGAL if name != "pps" else {}  # user code inherits from PPS
    values = {"DATABASE_URL": f"sqlite:///{folder / f'{name}.db'}", **settings}
    return Part(
        name=name,
        title=name.upper() if name != "jobs" else "Jobs",
        command=(sys.executable, "-m", f"services.{name}"),
        env={**memory, **besides, **{f"{name.upper()}_{key}": value for key, value in values.items()}},
        port=port,
        ask=ask_grpc,
    )


def _nats(layout: Layout, port: int, token: str) -> Part:
    config = {
        "listen": f"127.0.0.1:{port}",
        "server_name": "datamill",
        "max_payload": MAX_PAYLOAD_BYTES,
        "authorization": {"token": token},
        "jetstream": {"store_dir": str(layout.data_dir / "nats"), "max_memory_store": 64 << 20},
    }
    path = layout.run / "nats.conf"  # NATS reads JSON as well as its own format
    write_whole(path, json.dumps(config, indent=2), mode=0o600)
    command = (str(binaries.nats_server()), "--config", str(path))
    return Part(name="nats", title="NATS", command=command, env={"GOMEMLIMIT": "96MiB"}, port=port, ask=ask_nats)


def _gateway(layout: Layout, port: int, at: Mapping[str, str], choices: Choices) -> Part:
    access_log = layout.log_of("access")
    path, methods = layout.run / "envoy.yaml", layout.run / "methods.pb"
    methods.write_bytes(descriptors())
    gateway = Gateway(
        listen=f"127.0.0.1:{port}",
        beyond=choices.beyond,
        origins=choices.origins,
        admin=SOCKET,
        access_log=access_log,
        descriptors=methods,
        **at,
    )
    write_whole(path, render(gateway))
    options = ("--concurrency", "2", "--disable-hot-restart", "--log-level", "warning")
    command = (str(binaries.envoy()), "--config-path", str(path), *options)
    return Part(
        name="gateway",
        title="gateway",
        command=command,
        env={},
        port=port,
        ask=ask_grpc,
        cwd=layout.run,  # the admin socket is named from here: the names of sockets must be short
        drain=lambda: drain(layout.run),
    )
