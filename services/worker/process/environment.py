"""The variables user code sees. What belongs to the shim never gets there."""

from collections.abc import Mapping

from datamill.wire import work_v1_pb2 as work
from services.worker.spec import WorkerSpec

# How the shim's own interpreter was started; user code may well be Python too.
SHIM_ONLY = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONUNBUFFERED", "POSTGRES_PASSWORD"})
SHIM_PREFIXES = ("WORKER_", "OTEL_", "GRPC_", "PFS_", "PPS_", "JOBS_", "DATAMILL_")


def base(environ: Mapping[str, str], spec: WorkerSpec, *, worker: str, port: int) -> dict[str, str]:
    """What every process of this worker sees: the container's variables, the worker's facts, the transform's own."""
    kept = {key: value for key, value in environ.items() if key not in SHIM_ONLY and not key.startswith(SHIM_PREFIXES)}
    facts = {
        "PACH_IN_WORKER": "true",
        "PPS_WORKER_IP": "127.0.0.1",
        "PPS_POD_NAME": worker,
        "PPS_WORKER_GRPC_PORT": str(port),
        "PPS_SPEC_COMMIT": spec.spec_commit,
        "PPS_PROJECT_NAME": spec.project,
        "PPS_PIPELINE_NAME": spec.pipeline,
    }
    return kept | facts | spec.env


def of_datum(datum: work.Datum, datum_set: work.DatumSet, *, root: str = "/pfs") -> dict[str, str]:
    """What a datum adds. Of several inputs with one name the last wins. root: where /pfs is."""
    added: dict[str, str] = {}
    for item in datum.inputs:
        added[item.name] = f"{root}/{item.name}/{item.file.path.lstrip('/')}".rstrip("/")
        added[f"{item.name}_COMMIT"] = item.file.commit.id
        if item.join_on:
            added[f"PACH_DATUM_{item.name}_JOIN_ON"] = item.join_on
        if item.group_by:
            added[f"PACH_DATUM_{item.name}_GROUP_BY"] = item.group_by
    added["PACH_DATUM_ID"] = datum.id
    added["PACH_JOB_ID"] = datum_set.job.id
    added["PACH_OUTPUT_COMMIT_ID"] = datum_set.output_commit.id or datum_set.job.id
    return added


def as_file(variables: Mapping[str, str]) -> bytes:
    """The content of /pfs/.env: unquoted KEY=VALUE lines."""
    return "".join(f"{key}={value}\n" for key, value in variables.items()).encode("utf-8", "surrogateescape")
