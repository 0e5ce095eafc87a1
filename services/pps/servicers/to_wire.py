"""Pipelines as the protocol's messages."""

from collections.abc import Mapping

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.pps.domain.names import DEFAULT_PROJECT, PipelineKey, workers_name
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.domain.spec import specs
from services.pps.domain.spec.kinds import kind_of
from services.pps.runtimes.port import GroupStatus
from services.pps.servicers.specs.reader import to_request

SAME_NAME = (
    "transform",
    "parallelism_spec",
    "input",
    "description",
    "output_branch",
    "datum_set_spec",
    "datum_timeout",
    "job_timeout",
    "datum_tries",
    "scheduling_spec",
    "pod_spec",
    "pod_patch",
    "metadata",
    "reprocess_spec",
    "tolerations",
    "resource_requests",
    "resource_limits",
    "sidecar_resource_limits",
    "sidecar_resource_requests",
    "determined",
    "maximum_expected_uptime",
    "spout",
    "service",
    "egress",
    "autoscaling",
    "s3_out",
)
HERE = "127.0.0.1"  # where the ports of services are
NOBODY = GroupStatus(requested=0, available=0)


def key_of(pipeline: pps.Pipeline) -> PipelineKey:
    return PipelineKey(pipeline.project.name or DEFAULT_PROJECT, pipeline.name)


def pipeline_of(key: PipelineKey) -> pps.Pipeline:
    return pps.Pipeline(name=key.name, project=pfs.Project(name=key.project))


def pipeline_info(
    pipeline: Pipeline,
    *,
    details: bool,
    workers: GroupStatus | None = None,
    last_job: int = 0,
    pairs: Mapping[str, str] | None = None,
) -> pps.PipelineInfo:
    """A pipeline with the version it carries. pairs: its metadata."""
    version = pipeline.version
    info = pps.PipelineInfo(
        pipeline=pipeline_of(pipeline.key),
        version=version.number,
        stopped=pipeline.stopped,
        state=pps.PipelineState.ValueType(pipeline.state),
        reason=pipeline.reason,
        last_job_state=pps.JobState.ValueType(last_job),
        parallelism=specs.parallelism(version.spec),
        type=pps.PipelineInfo.PipelineType.ValueType(kind_of(version.spec)),
        user_spec_json=version.user_json,
        effective_spec_json=version.effective_json,
        spec_commit=_spec_commit(version),
        metadata=pairs,
    )
    if details:
        info.details.CopyFrom(_details(pipeline, workers or NOBODY))
    return info


def _spec_commit(version: Version) -> pfs.Commit:
    repo = pfs.Repo(name=version.key.name, type="spec", project=pfs.Project(name=version.key.project))
    return pfs.Commit(repo=repo, id=version.spec_commit, branch=pfs.Branch(repo=repo, name="master"))


def _details(pipeline: Pipeline, workers: GroupStatus) -> pps.PipelineInfo.Details:
    version = pipeline.version
    request, details = to_request(version.spec), pps.PipelineInfo.Details()
    for name in SAME_NAME:
        field = request.DESCRIPTOR.fields_by_name[name]
        value = getattr(request, name)
        if field.is_repeated:
            getattr(details, name).extend(value)
        elif field.message_type is None:
            setattr(details, name, value)
        elif request.HasField(name):  # type: ignore[arg-type]  # names of fields, all of them known
            getattr(details, name).CopyFrom(value)
    if details.HasField("service"):
        details.service.ip = HERE
    if details.spout.HasField("service"):
        details.spout.service.ip = HERE
    details.salt = version.salt
    details.reason = pipeline.reason
    details.created_at.FromDatetime(pipeline.created_at)
    details.updated_at.FromDatetime(version.at)
    details.recent_error = pipeline.recent_error
    details.worker_rc = workers_name(str(version.key), version.number)
    details.workers_requested, details.workers_available = workers.requested, workers.available
    if pipeline.workers_started_at is not None:
        details.workers_started_at.FromDatetime(pipeline.workers_started_at)
    return details


def run_spec(pipeline: Pipeline) -> bytes:
    """What a worker is given: the version in force, with nothing in it that changes while it runs."""
    version = pipeline.version
    info = pps.PipelineInfo(
        pipeline=pipeline_of(pipeline.key),
        version=version.number,
        spec_commit=_spec_commit(version),
        type=pps.PipelineInfo.PipelineType.ValueType(kind_of(version.spec)),
    )
    info.details.CopyFrom(_details(pipeline, NOBODY))
    for changing in ("worker_rc", "reason", "workers_started_at", "recent_error"):
        info.details.ClearField(changing)
    return info.SerializeToString(deterministic=True)
