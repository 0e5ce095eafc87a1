"""The drawing of what leads to what."""

from google.protobuf.json_format import ParseDict

from datamill.cli.commands.work import graph
from datamill.wire import pps_v2_pb2 as pps


def info(name: str, *repos: str, project: str = "default") -> pps.PipelineInfo:
    parts = [{"pfs": {"repo": repo.split("/")[-1], "project": repo.rpartition("/")[0] or project}} for repo in repos]
    return ParseDict(
        {
            "pipeline": {"name": name, "project": {"name": project}},
            "state": "PIPELINE_RUNNING",
            "details": {"input": {"cross": parts}},
        },
        pps.PipelineInfo(),
    )


def test_what_leads_to_what() -> None:
    pipelines = [
        info("edges", "images"),
        info("train", "labels", "edges"),
        info("sizes", "images", "images"),
        info("report", "labels", "other/notes"),
        info("spout"),
    ]
    assert list(graph.lines(pipelines)) == [
        "images",
        "├─ edges [running]",
        "│  └─ train [running]  (and labels)",
        "└─ sizes [running]",
        "labels",
        "└─ report [running]  (and other/notes)",
        "spout [running]",
    ]
    assert list(graph.lines([])) == []
