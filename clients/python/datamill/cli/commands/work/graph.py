"""`datamill draw pipeline`: which repos and pipelines lead to which, as a tree of lines."""

from collections.abc import Iterable, Iterator

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.output import emit, enum_word
from datamill.cli.session import EVERYWHERE, Session, command
from datamill.names import shown_pipeline
from datamill.wire import pps_v2_pb2 as pps


@command(verbs.draw, "pipeline")
@click.option("-c", "--commit", "at", default="", metavar="ID", help="As they were at this change.")
@EVERYWHERE
def draw_pipeline(session: Session, at: str, everywhere: bool) -> None:
    """Draw what leads to what. A pipeline with several inputs stands below the first, which names the others."""
    projects = () if everywhere else (session.project,)
    pipelines = list(session.client.list_pipelines(projects=projects, at=at))[::-1]
    for line in lines(pipelines):
        emit(line)


def lines(pipelines: Iterable[pps.PipelineInfo]) -> Iterator[str]:
    """The drawing of pipelines, oldest first."""
    pipelines = list(pipelines)
    mine = {shown_pipeline(info.pipeline) for info in pipelines}
    reads = {shown_pipeline(info.pipeline): _reads(info, mine) for info in pipelines}
    states = {shown_pipeline(info.pipeline): _state(info) for info in pipelines}
    below: dict[str, list[str]] = {}
    for name, inputs in reads.items():
        for one in inputs[:1]:
            below.setdefault(one, []).append(name)
    tops = dict.fromkeys([
        *(one for inputs in reads.values() for one in inputs[:1] if one not in reads),
        *(name for name, inputs in reads.items() if not inputs),
    ])  # fmt: skip

    def drawn(name: str, front: str) -> Iterator[str]:
        inner = below.get(name, [])
        for at, one in enumerate(inner):
            is_last = at == len(inner) - 1
            others = f"  (and {', '.join(reads[one][1:])})" if reads[one][1:] else ""
            yield f"{front}{'└─ ' if is_last else '├─ '}{one}{states[one]}{others}"
            yield from drawn(one, front + ("   " if is_last else "│  "))

    for top in tops:
        yield top + states.get(top, "")
        yield from drawn(top, "")


def _state(info: pps.PipelineInfo) -> str:
    return f" [{enum_word(pps.PipelineState.Name(info.state), 'PIPELINE_')}]"


def _reads(info: pps.PipelineInfo, drawn: set[str]) -> list[str]:
    """The repos of its inputs, each once; those of other pipelines first, so that chains are drawn as chains."""
    found = [_repo(leaf, info.pipeline.project.name) for leaf in _leaves(info.details.input)]
    return sorted(dict.fromkeys(found), key=lambda repo: repo not in drawn)


def _leaves(input: pps.Input) -> Iterator[pps.PFSInput | pps.CronInput]:
    if input.HasField("pfs"):
        yield input.pfs
    if input.HasField("cron"):
        yield input.cron
    for parts in (input.cross, input.union, input.join, input.group):
        for part in parts:
            yield from _leaves(part)


def _repo(leaf: pps.PFSInput | pps.CronInput, project: str) -> str:
    if isinstance(leaf, pps.CronInput):
        return f"{leaf.name}:{leaf.spec}"
    owner = leaf.project or project
    return leaf.repo if owner == names.DEFAULT_PROJECT else f"{owner}/{leaf.repo}"
