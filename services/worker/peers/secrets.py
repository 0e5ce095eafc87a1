"""The secrets of a transform: fetched from PPS at the worker's start, kept in memory, never said.

Values reach user code as variables, and as files in folders that the runtime has made in memory. They are left out of
/pfs/.env, which is stored with the datum, and struck out of every line and span that leaves this process.
Elsewhere: how values are kept (services/pps/storage/sealing.py); the folders (services/pps/runtimes).
"""

import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import grpc

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import secrets_v1_pb2 as wire
from datamill.wire.secrets_v1_pb2_grpc import SecretServiceStub
from services.worker.peers.calls import OPTIONS, Patience, Trouble, persist, trouble
from services.worker.process.environment import Unsaid
from services.worker.spec import RunAs, WorkerSpec

SHORTEST = 6  # of what is struck out: shorter texts are in any log by chance
STRUCK = "***"
FETCH_SECONDS, CALL_SECONDS = 60.0, 10.0
Values = Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Secrets:
    """variables: of user code. strike: a text without any value that is long enough to be known again."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    strike: Callable[[str], str] = str


def fetched(spec: WorkerSpec, address: str, metadata: tuple[tuple[str, str], ...]) -> Secrets:
    """What the transform asks for, with its files laid out. Raises Trouble."""
    if not spec.secrets:
        return Secrets()
    if not address:
        raise Trouble("the transform has secrets, and this worker was not told where they are to be had")
    request = wire.FetchSecretsRequest(pipeline=spec.wire_pipeline(), pipeline_version=spec.version)
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        stub = SecretServiceStub(channel)

        def ask() -> wire.FetchSecretsResponse:
            try:
                return stub.FetchSecrets(request, timeout=CALL_SECONDS, metadata=metadata)
            except grpc.RpcError as error:
                raise trouble(error) from error

        answer = persist(ask, Patience(FETCH_SECONDS, threading.Event()), what="cannot fetch secrets")
    values = {one.name: dict(one.values) for one in answer.secrets}
    lay_out(spec.secrets, values, spec.run_as)
    return Secrets(variables(spec.secrets, values), striker(value for one in values.values() for value in one.values()))


def variables(mounts: Iterable[pps.SecretMount], values: Values) -> dict[str, str]:
    """Raises Trouble for a value that no variable can hold."""
    found = dict[str, str]()
    for mount in mounts:
        if mount.env_var:
            value = values[mount.name][mount.key]
            if b"\0" in value:
                raise Trouble(f"key {mount.key} of secret {mount.name} holds a zero byte and cannot be a variable")
            found[mount.env_var] = Unsaid(value.decode("utf-8", "surrogateescape"))
    return found


def lay_out(mounts: Iterable[pps.SecretMount], values: Values, run_as: RunAs | None) -> None:
    """Write the files, for the user of the transform alone. Raises Trouble where they would not be in memory."""
    for mount in mounts:
        if not mount.mount_path:
            continue
        folder = os.path.realpath(mount.mount_path)
        if not os.path.ismount(folder):
            raise Trouble(f"secret {mount.name} cannot be laid at {mount.mount_path}: the runtime made no folder there")
        for key, value in values[mount.name].items():
            path = os.path.join(folder, key)
            if os.path.lexists(path):  # two secrets in one folder: the later one counts
                os.unlink(path)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            with os.fdopen(descriptor, "wb") as file:
                file.write(value)
                if run_as is not None:
                    os.fchown(descriptor, run_as.uid, run_as.gid)


def striker(values: Iterable[bytes]) -> Callable[[str], str]:
    """What strikes values out of a text: whole ones, and each line of those that have several."""
    texts = set[str]()
    for value in values:
        text = value.decode("utf-8", "replace")
        texts |= {part.strip("\r") for part in (text.strip("\n"), *text.splitlines()) if len(part) >= SHORTEST}
    if not texts:
        return str
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    known = re.compile("|".join(map(re.escape, longest_first)))
    return lambda said: known.sub(STRUCK, said)
