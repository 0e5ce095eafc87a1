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
MOST_DECLARATIONS = 1000  # kept: joins have one for each value
_encoded = json.JSONEncoder(separators=(",", ":")).encode


class Documents:
    """The JSON documents of one set's datums. What they have in common is encoded once: it is most of them."""

    def __init__(self, spec: WorkerSpec, datum_set: work.DatumSet) -> None:
        self._spec = spec
        self._datums = datum_set.datums
        self._commits: dict[bytes, tuple[str, str]] = {}
        self._declarations: dict[tuple[str, str, str, bool, str], str] = {}
        pipeline = {"name": spec.pipeline, "project": {"name": spec.project}}
        self._job = _encoded({"pipeline": pipeline, "id": datum_set.job.id})
        self._image = f',"imageId":{_encoded(spec.image)}' if spec.image else ""

    def document(self, index: int, result: work.DatumResult) -> bytes:
        """The one of the datum at `index` of the set."""
        datum = self._datums[index]
        inputs = ",".join([self._input(item) for item in datum.inputs])
        reason = f',"reason":{_encoded(result.reason)}' if result.reason else ""
        return (
            f'{{"job":{self._job},"inputs":[{inputs}],"hash":{_encoded(datum.hash)},'
            f'"state":"{STATES[result.state]}","stats":{_stats(result.stats)},"index":"{index}"{reason}{self._image}}}'
        ).encode()

    def _input(self, item: work.DatumInput) -> str:
        file, path = item.file, item.file.path
        commit, branch = self._commit(file.commit)
        kind = "DIR" if path.endswith("/") else "FILE"
        return (
            f'{{"fileInfo":{{"file":{{"commit":{commit},"path":{_encoded(path)},'
            f'"datum":{_encoded(file.datum or "default")}}},"fileType":"{kind}","sizeBytes":"{item.size_bytes}",'
            f'"hash":"{base64.b64encode(item.digest).decode()}"}},{self._declared(item, branch)}}}'
        )

    def _declared(self, item: work.DatumInput, branch: str) -> str:
        """What the pipeline says of the input, without braces."""
        key = (item.name, item.join_on, item.group_by, item.empty_files, branch)
        made = self._declarations.get(key)
        if made is None:
            if len(self._declarations) >= MOST_DECLARATIONS:
                self._declarations.clear()
            made = self._declarations[key] = self._declaration(item, branch)
        return made

    def _declaration(self, item: work.DatumInput, branch: str) -> str:
        declared = self._spec.inputs.get(item.name)
        if declared is not None and declared.branch:
            branch = declared.branch
        fields: dict[str, Any] = {"joinOn": item.join_on, "groupBy": item.group_by, "branch": branch}
        fields["emptyFiles"] = item.empty_files
        if declared is not None:
            fields |= {"outerJoin": declared.outer_join, "lazy": declared.lazy, "s3": declared.s3}
            fields["reference"] = declared.reference
        return _encoded({"name": item.name} | {key: value for key, value in fields.items() if value})[1:-1]

    def _commit(self, commit: pfs.Commit) -> tuple[str, str]:
        """Encoded, and the name of its branch."""
        key = commit.SerializeToString()
        made = self._commits.get(key)
        if made is None:
            made = self._commits[key] = _encoded(_commit_fields(commit)), commit.branch.name
        return made


def _commit_fields(commit: pfs.Commit) -> dict[str, Any]:
    repo = commit.repo if commit.HasField("repo") else commit.branch.repo
    fields: dict[str, Any] = {
        "repo": {"name": repo.name, "type": repo.type, "project": {"name": repo.project.name}},
        "id": commit.id,
    }
    if commit.branch.name:
        fields["branch"] = {"repo": fields["repo"], "name": commit.branch.name}
    return fields


def _stats(stats: pps.ProcessStats) -> str:
    return (
        f'{{"downloadTime":"{_duration(stats.download_time)}","processTime":"{_duration(stats.process_time)}",'
        f'"uploadTime":"{_duration(stats.upload_time)}","downloadBytes":"{stats.download_bytes}",'
        f'"uploadBytes":"{stats.upload_bytes}"}}'
    )


def _duration(duration: Any) -> str:
    return f"{duration.seconds}.{duration.nanos:09d}s"
