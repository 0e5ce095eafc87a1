"""Calls of datamill.upkeep.v1 to the instance on this machine.

Its gateway does not pass them on: whoever may read the data directory has the instance's token, and finds there where
the services listen. Elsewhere: what the calls do (services/pfs/servicers/upkeep.py, services/jobs/servicers/upkeep.py).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from datamill.transport import OPTIONS
from datamill.wire.upkeep_v1_pb2_grpc import JobUpkeepServiceStub, UpkeepServiceStub
from deploy.local import layout as layouts
from deploy.local.layout import CannotRun

TOKEN_HEADER = "datamill-service-token"


@dataclass(frozen=True)
class Upkeep:
    """The calls. metadata: to be sent with each."""

    pfs: UpkeepServiceStub
    jobs: JobUpkeepServiceStub
    metadata: tuple[tuple[str, str], ...]


@contextmanager
def upkeep(data_dir: Path) -> Iterator[Upkeep]:
    """Connect to the instance on a data directory. Raises CannotRun."""
    layout = layouts.resolve(data_dir)
    if layouts.holder(layout) is None:
        raise CannotRun(f"no instance is running on {layout.data_dir}; say with --data-dir where it is")
    ports = {part["name"]: part["port"] for part in layouts.read_state(layout).get("parts", [])}
    try:
        token = (layout.data_dir / "token").read_text().strip()
        addresses = [f"127.0.0.1:{ports[name]}" for name in ("pfs", "jobs")]
    except (KeyError, OSError) as error:
        raise CannotRun(f"the instance on {layout.data_dir} cannot be asked: {error}") from error
    with ExitStack() as up:
        pfs, jobs = (up.enter_context(grpc.insecure_channel(address, options=OPTIONS)) for address in addresses)
        yield Upkeep(UpkeepServiceStub(pfs), JobUpkeepServiceStub(jobs), ((TOKEN_HEADER, token),))
