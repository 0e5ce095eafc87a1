"""Domain values as messages."""

from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.jobs.domain.datums import Datum, InputFile
from services.jobs.domain.jobs import Job, JobKey, Stats
from services.jobs.domain.records import Planned
from services.jobs.operations.work.activity import Activity


def duration(value: timedelta) -> Duration:
    made = Duration()
    made.FromTimedelta(value)
    return made


def timestamp(value: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(value)
    return made


def pipeline(key: JobKey) -> pps.Pipeline:
    return pps.Pipeline(name=key.pipeline, project=pfs.Project(name=key.project))


def job(key: JobKey) -> pps.Job:
    return pps.Job(pipeline=pipeline(key), id=key.id)


def repo(project: str, name: str, type: str) -> pfs.Repo:
    return pfs.Repo(name=name, type=type, project=pfs.Project(name=project))


def output_commit(of: Job) -> pfs.Commit:
    where = repo(of.key.project, of.key.pipeline, "user")
    return pfs.Commit(repo=where, branch=pfs.Branch(repo=where, name=of.output_branch), id=of.key.id)


def stats(value: Stats) -> pps.ProcessStats:
    return pps.ProcessStats(
        download_time=duration(value.download),
        process_time=duration(value.process),
        upload_time=duration(value.upload),
        download_bytes=value.download_bytes,
        upload_bytes=value.upload_bytes,
    )


def job_info(of: Job) -> pps.JobInfo:
    """A job, without details."""
    info = pps.JobInfo(
        job=job(of.key),
        pipeline_version=of.version,
        output_commit=output_commit(of),
        restart=of.restart,
        data_total=of.counters.total,
        data_processed=of.counters.processed,
        data_skipped=of.counters.skipped,
        data_failed=of.counters.failed,
        data_recovered=of.counters.recovered,
        stats=stats(of.stats),
        state=int(of.state),  # type: ignore[arg-type]  # the numbers are the protocol's
        reason=of.reason,
        created=timestamp(of.created),
    )
    if of.started is not None:
        info.started.CopyFrom(timestamp(of.started))
    if of.finished is not None:
        info.finished.CopyFrom(timestamp(of.finished))
    return info


def job_details(document: bytes, id: str) -> pps.JobInfo.Details:
    """The spec that a job runs with, its inputs at the job's commits."""
    spec = pps.PipelineInfo.FromString(document).details
    details = pps.JobInfo.Details(salt=spec.salt, datum_tries=spec.datum_tries)
    details.pod_spec, details.pod_patch = spec.pod_spec, spec.pod_patch
    for name in (
        "transform", "parallelism_spec", "egress", "service", "spout", "resource_requests", "resource_limits",
        "sidecar_resource_limits", "sidecar_resource_requests", "input", "datum_set_spec", "datum_timeout",
        "job_timeout", "scheduling_spec",
    ):  # fmt: skip
        if spec.HasField(name):
            getattr(details, name).CopyFrom(getattr(spec, name))
    _fill_commits(details.input, id)
    return details


def image(document: bytes | None) -> str:
    """The image that a spec names; "" of a spec that nobody knows any more."""
    return "" if document is None else pps.PipelineInfo.FromString(document).details.transform.image


def worker_status(one: Activity, key: JobKey) -> pps.WorkerStatus:
    status = pps.WorkerStatus(worker_id=one.worker, job_id=key.id)
    if one.started is not None:
        status.datum_status.started.CopyFrom(timestamp(one.started))
    for path, hash in one.data:
        status.datum_status.data.add(path=path, hash=bytes.fromhex(hash))
    return status


def _fill_commits(tree: pps.Input, id: str) -> None:
    for kind in ("pfs", "cron"):
        if tree.HasField(kind):
            getattr(tree, kind).commit = id
    for children in (tree.cross, tree.union, tree.join, tree.group):
        for child in children:
            _fill_commits(child, id)


def commit_of(file: InputFile) -> pfs.Commit:
    leaf = file.leaf
    where = repo(leaf.project, leaf.repo, leaf.repo_type)
    return pfs.Commit(repo=where, branch=pfs.Branch(repo=where, name=leaf.branch), id=file.commit)


def file_info(file: InputFile) -> pfs.FileInfo:
    folder = file.path.endswith("/")
    return pfs.FileInfo(
        file=pfs.File(commit=commit_of(file), path=file.path),
        file_type=pfs.FileType.DIR if folder else pfs.FileType.FILE,
        size_bytes=file.size_bytes,
        hash=file.digest,
    )


def files(datum: Datum) -> list[pfs.FileInfo]:
    return [file_info(file) for file in datum]


def work_datum(planned: Planned) -> work.Datum:
    return work.Datum(
        id=planned.id,
        hash=planned.hash,
        inputs=[
            work.DatumInput(
                name=file.leaf.name,
                file=pfs.File(commit=commit_of(file), path=file.path),
                size_bytes=file.size_bytes,
                digest=file.digest,
                join_on=file.join_on,
                group_by=file.group_by,
                empty_files=file.leaf.empty_files,
                lazy=file.leaf.lazy,
            )
            for file in planned.inputs
        ],
    )
