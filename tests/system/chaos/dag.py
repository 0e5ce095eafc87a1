"""A DAG whose outputs can be computed beside it: what the kill tests run, and what must come out."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps

SUM = 'sleep 0.05; sha256sum < "$IN" | cut -d" " -f1 > /pfs/out/$(basename "$IN")'
WORDS = 'sleep 0.05; wc -w < "$IN" | tr -d " " > /pfs/out/$(basename "$IN")'
BOTH = 'cat /pfs/lines/* /pfs/words/* > /pfs/out/$(basename "$lines")'
BY_TENS = 'cat /pfs/both/* | sha256sum | cut -d" " -f1 > /pfs/out/$(basename "$both" | cut -c1-2)'
ALL = "cat /pfs/tens/* /pfs/both/* | sha256sum | cut -d' ' -f1 > /pfs/out/all"


def leaf(repo: str, glob: str, **more: Any) -> pps.Input:
    return pps.Input(pfs=pps.PFSInput(repo=repo, glob=glob, **more))


def pipeline(name: str, script: str, tree: pps.Input, workers: int = 1) -> pps.CreatePipelineRequest:
    transform = pps.Transform(cmd=["sh", "-c", script])
    spec = pps.ParallelismSpec(constant=workers)
    return pps.CreatePipelineRequest(pipeline=named(name), transform=transform, input=tree, parallelism_spec=spec)


def named(name: str) -> pps.Pipeline:
    return pps.Pipeline(name=name, project=pfs.Project(name="default"))


PIPELINES = [
    pipeline("lines", SUM.replace("$IN", "$source"), leaf("source", "/*"), workers=2),
    pipeline("words", WORDS.replace("$IN", "$source"), leaf("source", "/*")),
    pipeline("both", BOTH, pps.Input(join=[
        leaf("lines", "/(*)", join_on="$1"), leaf("words", "/(*)", join_on="$1")])),
    pipeline("tens", BY_TENS, pps.Input(group=[leaf("both", "/(??)*", group_by="$1")])),
    pipeline("summary", ALL, pps.Input(cross=[leaf("tens", "/"), leaf("both", "/")])),
]  # fmt: skip


def names_of(pipelines: Iterable[pps.CreatePipelineRequest]) -> list[str]:
    return [request.pipeline.name for request in pipelines]


def wanted_outputs(contents: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    """What the pipelines write for these files: pipeline → path → content."""
    lines = {path: _sum(content) for path, content in contents.items()}
    words = {path: b"%d\n" % len(content.split()) for path, content in contents.items()}
    both = {path: lines[path] + words[path] for path in contents}
    groups: dict[str, list[str]] = {}
    for path in sorted(both):
        groups.setdefault(path[:3], []).append(path)
    tens = {group: _sum(b"".join(both[path] for path in paths)) for group, paths in groups.items()}
    everything = b"".join(tens[path] for path in sorted(tens)) + b"".join(both[path] for path in sorted(both))
    return {"lines": lines, "words": words, "both": both, "tens": tens, "summary": {"/all": _sum(everything)}}


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"
