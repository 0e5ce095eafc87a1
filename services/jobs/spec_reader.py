"""From PPS's description of a pipeline to what Jobs needs of it. Elsewhere: what a spec may say (services/pps)."""

from datetime import UTC

from google.protobuf.duration_pb2 import Duration

from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.datums import Leaf
from services.jobs.domain.errors import Wrong
from services.jobs.domain.planning.inputs import Cross, Group, Input, Join, Union
from services.jobs.domain.planning.plans import SetRule
from services.jobs.domain.specs import PipelineSpec

DEFAULT_PROJECT = "default"


def read_spec(info: pps.PipelineInfo) -> PipelineSpec:
    """A version of a pipeline."""
    details = info.details
    project = info.pipeline.project.name or DEFAULT_PROJECT
    rule = details.datum_set_spec
    runs_jobs = info.type != pps.PipelineInfo.PIPELINE_TYPE_SPOUT
    timeout: Duration | None = details.job_timeout if details.HasField("job_timeout") else None
    return PipelineSpec(
        project=project,
        name=info.pipeline.name,
        made=details.created_at.ToDatetime(UTC),
        version=info.version,
        spec_commit=info.spec_commit.id,
        output_branch=details.output_branch or "master",
        tree=_tree_of(details, project) if runs_jobs else None,
        salt=details.salt,
        parallelism=info.parallelism or details.parallelism_spec.constant or 1,
        sets=SetRule(rule.number, rule.size_bytes, rule.per_worker),
        job_timeout=timeout.ToTimedelta() if timeout is not None and timeout.ToNanoseconds() > 0 else None,
        every_job=details.reprocess_spec == "every_job",
        runs_jobs=runs_jobs,
        stopped=info.stopped,
        failed=info.reason or "the pipeline has failed" if info.state == pps.PIPELINE_FAILURE else "",
        document=info.SerializeToString(),
        egress=details.egress.SerializeToString(),
        egress_secret=(details.egress.sql_database.secret.name, details.egress.sql_database.secret.key),
        service=info.type == pps.PipelineInfo.PIPELINE_TYPE_SERVICE,
    )


def read_document(document: bytes) -> PipelineSpec:
    """A version kept by `PipelineSpec.document`."""
    return read_spec(pps.PipelineInfo.FromString(document))


def _tree_of(details: pps.PipelineInfo.Details, project: str) -> Input:
    """Without an input its jobs have no datums."""
    return read_tree(details.input, project) if details.HasField("input") else Union(())


def read_tree(tree: pps.Input, project: str) -> Input:
    """An input tree with its defaults filled in. Raises Wrong."""
    for kind, made in (("cross", Cross), ("union", Union), ("join", Join), ("group", Group)):
        children = getattr(tree, kind)
        if children:
            return made(tuple(read_tree(child, project) for child in children))
    if tree.HasField("cron"):
        return _cron(tree.cron, project)
    if not tree.HasField("pfs"):
        raise Wrong("no input set")
    return _leaf(tree.pfs, project)


def has_cron(tree: pps.Input) -> bool:
    """Whether there is a cron anywhere in it."""
    children = (*tree.cross, *tree.union, *tree.join, *tree.group)
    return tree.HasField("cron") or any(has_cron(child) for child in children)


def _leaf(leaf: pps.PFSInput, project: str) -> Leaf:
    return Leaf(
        name=leaf.name,
        project=leaf.project or project,
        repo=leaf.repo,
        branch=leaf.branch,
        glob=leaf.glob,
        repo_type=leaf.repo_type or "user",
        join_on=leaf.join_on,
        outer_join=leaf.outer_join,
        group_by=leaf.group_by,
        lazy=leaf.lazy,
        empty_files=leaf.empty_files,
        s3=leaf.s3,
        reference=leaf.reference,
    )


def _cron(cron: pps.CronInput, project: str) -> Leaf:
    return Leaf(cron.name, cron.project or project, cron.repo, "master", "/*")
