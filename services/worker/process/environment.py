"""The variables user code sees. What belongs to the shim never gets there."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from datamill.wire import work_v1_pb2 as work
from datamill.wire import worker_pb2 as wire
from services.worker.spec import WorkerSpec

# How the shim's own interpreter was started; user code may well be Python too.
SHIM_ONLY = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONUNBUFFERED", "POSTGRES_PASSWORD"})
# What a shell keeps about itself, of the one that started the instance: none of it is true of user code.
A_SHELLS_OWN = frozenset({"PWD", "OLDPWD", "SHLVL", "_"})
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")
_SPECIAL = re.compile(r'["\\$`]')
SHIM_PREFIXES = ("WORKER_", "OTEL_", "GRPC_", "PFS_", "PPS_", "JOBS_", "DATAMILL_")


def base(environ: Mapping[str, str], spec: WorkerSpec, *, worker: str, port: int) -> dict[str, str]:
    """What every process of this worker sees: the container's variables, the worker's facts, the transform's own."""
    left_out = SHIM_ONLY | A_SHELLS_OWN
    kept = {key: value for key, value in environ.items() if key not in left_out and not key.startswith(SHIM_PREFIXES)}
    facts = {
        "PACH_IN_WORKER": "true",
        "PPS_WORKER_IP": "127.0.0.1",
        "PPS_POD_NAME": worker,
        "PPS_WORKER_GRPC_PORT": str(port),
        "PPS_SPEC_COMMIT": spec.spec_commit,
        "PPS_PROJECT_NAME": spec.project,
        "PPS_PIPELINE_NAME": spec.pipeline,
    }
    user = spec.run_as.variables() if spec.run_as is not None else {}
    return kept | user | facts | _instance(environ) | spec.env


def _instance(environ: Mapping[str, str]) -> dict[str, str]:
    """Where user code finds the instance, also for our own clients and for those that expect a sidecar's port."""
    host, port = environ.get("PACHD_PEER_SERVICE_HOST"), environ.get("PACHD_PEER_SERVICE_PORT")
    if not (host and port):
        return {}
    return {"DATAMILL_ADDRESS": f"grpc://{host}:{port}", "PACHD_ADDRESS": f"grpc://{host}:{port}", "PEER_PORT": port}


@dataclass(frozen=True, slots=True)
class Rendered:
    """Variables in the forms in which a datum needs them. What many datums have in common is made once."""

    answer: bytes  # a part of a NextDatumResponse
    file: bytes

    def __add__(self, more: "Rendered") -> "Rendered":
        return Rendered(self.answer + more.answer, self.file + more.file)


def rendered(variables: Iterable[tuple[str, str]]) -> Rendered:
    variables = list(variables)
    return Rendered(as_answer(variables), as_file(variables))


def as_answer(variables: Iterable[tuple[str, str]]) -> bytes:
    """A NextDatumResponse, or a part of one."""
    return wire.NextDatumResponse(env=[f"{key}={value}" for key, value in variables]).SerializeToString()


def of_set(datum_set: work.DatumSet, *, file_set_id: str = "") -> list[tuple[str, str]]:
    """What a set adds: known before there is a datum, and all that a batching process starts with."""
    output_commit = datum_set.output_commit.id or datum_set.job.id
    added = [("PACH_JOB_ID", datum_set.job.id), ("PACH_OUTPUT_COMMIT_ID", output_commit)]
    return [*added, ("FILESET_ID", file_set_id)] if file_set_id else added


def of_datum(datum: work.Datum, *, root: str = "/pfs") -> list[tuple[str, str]]:
    """What a datum adds, in order, before its set does; a name may come again, and then the last one counts.

    root: where /pfs is.
    """
    added: list[tuple[str, str]] = []
    for item in datum.inputs:
        added.append((item.name, f"{root}/{item.name}/{item.file.path.lstrip('/')}".rstrip("/")))
        added.append((f"{item.name}_COMMIT", item.file.commit.id))
        if item.join_on:
            added.append((f"PACH_DATUM_{item.name}_JOIN_ON", item.join_on))
        if item.group_by:
            added.append((f"PACH_DATUM_{item.name}_GROUP_BY", item.group_by))
    return [*added, ("PACH_DATUM_ID", datum.id)]


class Unsaid(str):
    """A value of a secret: for the process alone, and never for a file or a message."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def as_file(variables: Iterable[tuple[str, str]]) -> bytes:
    """The content of /pfs/.env: KEY=VALUE lines, quoted only where a shell would take the value for something else.

    It is stored with the datum, so no secret is in it.
    """
    said = [(key, value) for key, value in variables if not isinstance(value, Unsaid)]
    return "".join([f"{key}={_quoted(value)}\n" for key, value in said]).encode("utf-8", "surrogateescape")


def _quoted(value: str) -> str:
    """As both a shell and readers of such files understand it; these know no quote inside single quotes."""
    if _PLAIN.fullmatch(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + _SPECIAL.sub(r"\\\g<0>", value) + '"'
