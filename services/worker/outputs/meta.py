"""What the meta repo keeps of a datum: a JSON document, its inputs and outputs by reference, its environment.

/meta/<datum>/meta        {job, inputs, hash, state, reason, stats, index, imageId}
/pfs/<datum>/<input>/…    the input files
/pfs/<datum>/out/…        the output files, those of failed datums too
/pfs/<datum>/.env
"""

import base64
import json
from typing import Any

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.worker.spec import WorkerSpec

STATES = {pps.DatumState.SUCCESS: "PROCESSED", pps.DatumState.FAILED: "FAILED", pps.DatumState.RECOVERED: "RECOVERED"}


def document(spec: WorkerSpec, datum_set: work.DatumSet, index: int, result: work.DatumResult) -> bytes:
    """The JSON document of the datum at `index` of the set."""
    datum = datum_set.datums[index]
    fields: dict[str, Any] = {
        "job": {"pipeline": {"name": spec.pipeline, "project": {"name": spec.project}}, "id": datum_set.job.id},
        "inputs": [_input(spec, item) for item in datum.inputs],
        "hash": datum.hash,
        "state": STATES[result.state],
        "stats": _stats(result.stats),
        "index": str(index),
    }
    if result.reason:
        fields["reason"] = result.reason
    if spec.image:
        fields["imageId"] = spec.image
    return json.dumps(fields, separators=(",", ":")).encode()


def _input(spec: WorkerSpec, item: work.DatumInput) -> dict[str, Any]:
    file = item.file
    fields: dict[str, Any] = {
        "fileInfo": {
            "file": {"commit": _commit(file.commit), "path": file.path, "datum": file.datum or "default"},
            "fileType": "DIR" if file.path.endswith("/") else "FILE",
            "sizeBytes": str(item.size_bytes),
            "hash": base64.b64encode(item.digest).decode(),
        },
        "name": item.name,
    }
    declared = spec.inputs.get(item.name)
    branch = declared.branch if declared is not None and declared.branch else file.commit.branch.name
    optional = {"joinOn": item.join_on, "groupBy": item.group_by, "branch": branch, "emptyFiles": item.empty_files}
    if declared is not None:
        flags = {"outerJoin": declared.outer_join, "lazy": declared.lazy, "s3": declared.s3}
        optional |= flags | {"reference": declared.reference}
    return fields | {key: value for key, value in optional.items() if value}


def _commit(commit: pfs.Commit) -> dict[str, Any]:
    repo = commit.repo if commit.HasField("repo") else commit.branch.repo
    fields: dict[str, Any] = {
        "repo": {"name": repo.name, "type": repo.type, "project": {"name": repo.project.name}},
        "id": commit.id,
    }
    if commit.branch.name:
        fields["branch"] = {"repo": fields["repo"], "name": commit.branch.name}
    return fields


def _stats(stats: pps.ProcessStats) -> dict[str, str]:
    return {
        "downloadTime": _duration(stats.download_time),
        "processTime": _duration(stats.process_time),
        "uploadTime": _duration(stats.upload_time),
        "downloadBytes": str(stats.download_bytes),
        "uploadBytes": str(stats.upload_bytes),
    }


def _duration(duration: Any) -> str:
    return f"{duration.seconds + duration.nanos / 1e9:.9f}s"
