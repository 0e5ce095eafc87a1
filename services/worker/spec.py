"""What of a pipeline's spec a worker acts on, checked once at its start.

A mistake that no worker can ever get past (an unknown user, no command) is a BadSpec: it is reported and the worker
ends.
"""

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from datamill.wire import pps_v2_pb2 as pps

FILE_SET = "FILESET_ID"


class BadSpec(Exception):
    """The pipeline's spec cannot run here, however often it is tried."""


@dataclass(frozen=True, slots=True)
class RunAs:
    """Whom user code runs as. name, home: empty when there is nobody of that number here."""

    uid: int
    gid: int
    name: str = ""
    home: str = ""

    def variables(self) -> dict[str, str]:
        """What a login would set; else user code looks for its files in another user's home."""
        named = {"USER": self.name, "LOGNAME": self.name} if self.name else {}
        return {"HOME": self.home or "/", **named}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """A pipeline as its worker sees it. timeout: seconds of one attempt, None for ever."""

    project: str
    pipeline: str
    version: int
    spec_commit: str
    image: str
    cmd: tuple[str, ...]
    stdin: tuple[str, ...]
    err_cmd: tuple[str, ...]
    err_stdin: tuple[str, ...]
    env: dict[str, str]
    secrets: tuple[pps.SecretMount, ...] = ()
    accepted_codes: frozenset[int]
    working_dir: str
    run_as: RunAs | None
    tries: int
    timeout: float | None
    memory_volume: bool
    s3_out: bool
    batching: bool
    names_inputs: bool  # whether user code wants a file set of its inputs
    inputs: dict[str, pps.PFSInput]
    spout: bool = False
    service: bool = False
    ports: tuple[int, int] = (0, 0)
    """Of a service, or of a spout that has one: where others connect to, and where user code listens."""

    def wire_pipeline(self) -> pps.Pipeline:
        pipeline = pps.Pipeline(name=self.pipeline)
        pipeline.project.name = self.project
        return pipeline


def read_spec(path: Path, *, workdir: str = "/") -> WorkerSpec:
    """The spec in a file. workdir: where user code runs unless the spec says otherwise. Raises BadSpec."""
    info = pps.PipelineInfo.FromString(path.read_bytes())
    details = info.details
    transform = details.transform
    if not transform.cmd:
        raise BadSpec("invalid pipeline transform, no command specified")
    timeout = details.datum_timeout.ToNanoseconds() / 1e9 if details.HasField("datum_timeout") else None
    return WorkerSpec(
        project=info.pipeline.project.name or "default",
        pipeline=info.pipeline.name,
        version=info.version,
        spec_commit=info.spec_commit.id,
        image=transform.image,
        cmd=tuple(transform.cmd),
        stdin=tuple(transform.stdin),
        err_cmd=tuple(transform.err_cmd),
        err_stdin=tuple(transform.err_stdin),
        env=dict(transform.env),
        secrets=tuple(transform.secrets),
        accepted_codes=frozenset(transform.accept_return_code),
        working_dir=os.path.join("/", transform.working_dir) if transform.working_dir else workdir,
        run_as=who(transform.user),
        tries=details.datum_tries or 3,
        timeout=timeout or None,
        memory_volume=transform.memory_volume,
        s3_out=details.s3_out,
        batching=transform.datum_batching,
        names_inputs=not transform.datum_batching and FILE_SET in str(transform),
        spout=details.HasField("spout"),
        service=details.HasField("service") and not details.HasField("spout"),
        ports=_ports(details),
        inputs=dict(_inputs(details.input)),
    )


def _ports(details: pps.PipelineInfo.Details) -> tuple[int, int]:
    service = details.spout.service if details.HasField("spout") else details.service
    return service.external_port, service.internal_port


def who(user: str) -> RunAs | None:
    """Whom "name", "uid", "name:group" or "uid:gid" means; None when that is whom the worker runs as anyway.

    Raises BadSpec for somebody unknown, and when this worker may not become them.
    """
    if not user:
        return None
    name, _, group = user.partition(":")
    uid, gid, login, home = _user(name, user)
    if group:
        gid = _group(group, user)
    if (uid, gid) == (os.getuid(), os.getgid()):
        return None
    if os.geteuid() != 0:
        raise BadSpec(f"transform.user {user!r}: this worker runs as uid {os.getuid()} and cannot become another user")
    return RunAs(uid, gid, login, home)


def _user(name: str, whole: str) -> tuple[int, int, str, str]:
    if name.isdecimal():
        try:
            entry = pwd.getpwuid(int(name))
        except KeyError:
            return int(name), int(name), "", ""
        return entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise BadSpec(f"transform.user {whole!r}: there is no user {name!r} here") from error
    return entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir


def _group(name: str, whole: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise BadSpec(f"transform.user {whole!r}: there is no group {name!r} here") from error


def _inputs(tree: pps.Input) -> list[tuple[str, pps.PFSInput]]:
    found = [(tree.pfs.name, tree.pfs)] if tree.HasField("pfs") else []
    if tree.HasField("cron"):
        found.append((tree.cron.name, pps.PFSInput(name=tree.cron.name)))
    for branches in (tree.join, tree.group, tree.cross, tree.union):
        for branch in branches:
            found += _inputs(branch)
    return found
