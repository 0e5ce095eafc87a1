"""What was probably meant by a name that is not there, or not yet.

Elsewhere: unknown commands (verbs.py), unknown fields of specs (specs/).
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from google.protobuf.json_format import ParseDict

from datamill.client import Client
from datamill.errors import DatamillError
from datamill.methods.jobs import ENDED
from datamill.wire import pps_v2_pb2 as pps

REPO = re.compile(r"\brepo (?P<project>[^/\s]+)/(?P<name>[^/\s.]+) not found")
PIPELINE = re.compile(r'\bpipeline "(?P<project>[^/\s]+)/(?P<name>[^/\s]+)" not found')
ENOUGH = 5_000  # names to look through


def nearest(client: Client, sentence: str) -> str:
    """The name there is that is most like the one that was not found, or ""."""
    with suppress(DatamillError):
        if missing := REPO.search(sentence):
            repos = client.list_repos(projects=[missing["project"]])
            return _near(missing["name"], (info.repo.name for info in repos))
        if missing := PIPELINE.search(sentence):
            pipelines = client.list_pipelines(projects=[missing["project"]])
            return _near(missing["name"], (info.pipeline.name for info in pipelines))
    return ""


def to_do(client: Client, job: pps.Job) -> Iterator[pps.DatumInfo]:
    """The datums of a job that has not ended, as its pipeline's spec tells: they are called alike in every commit.

    Nothing of a job with a cron among its inputs, or of an older version.
    """
    info, pipeline = client.inspect_job(job), client.inspect_pipeline(job.pipeline)
    # As its author wrote it: the order of inputs is that of the names in there, and part of what datums are called.
    tree = json.loads(pipeline.effective_spec_json or "{}").get("input")
    if tree and info.state not in ENDED and info.pipeline_version == pipeline.version:
        with suppress(DatamillError):
            yield from client.list_datums(input=in_project(ParseDict(tree, pps.Input()), job.pipeline.project.name))


def in_project(input: pps.Input, project: str) -> pps.Input:
    """An input whose repos are in this project when it does not say in which they are."""
    if input.HasField("pfs") and not input.pfs.project:
        input.pfs.project = project
    for parts in (input.cross, input.union, input.join, input.group):
        for part in parts:
            in_project(part, project)
    return input


def _near(name: str, there: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(islice(there, ENOUGH)), n=1)
    return found[0] if found else ""
