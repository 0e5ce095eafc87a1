"""Commands about pipelines."""

import json
import sys

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.output import emit, enum_word, listing, one, when
from datamill.cli.session import EVERYWHERE, RAW, Session, command
from datamill.cli.specs import reading, sources
from datamill.wire import pps_v2_pb2 as pps

SPEC = click.option("-f", "--file", "source", default="-", metavar="PATH|URL|-", help="JSON or YAML. [standard input]")
REPROCESS = click.option("--reprocess", is_flag=True, help="Run every datum again, not only new ones.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Print the spec with defaults merged in; change nothing.")


@command(verbs.create, "pipeline")
@SPEC
@DRY_RUN
def create_pipeline(session: Session, source: str, dry_run: bool) -> None:
    """Make the pipelines of a spec file."""
    _apply(session, source, update=False, reprocess=False, dry_run=dry_run)


@command(verbs.update, "pipeline")
@SPEC
@REPROCESS
@DRY_RUN
def update_pipeline(session: Session, source: str, reprocess: bool, dry_run: bool) -> None:
    """Replace the pipelines of a spec file, or make those that do not exist. Datums that were done stay done, even when
    the code has changed: --reprocess runs them again."""
    _apply(session, source, update=True, reprocess=reprocess, dry_run=dry_run)


@command(verbs.validate, "pipeline")
@SPEC
def validate_pipeline(session: Session, source: str) -> None:
    """Check the form of a spec file, without a server."""
    _read(session, source)


@command(verbs.inspect, "pipeline")
@click.argument("pipeline")
@RAW
def inspect_pipeline(session: Session, pipeline: str, raw: bool) -> None:
    """Show a pipeline."""
    one(session.client.inspect_pipeline(names.pipeline(pipeline, session.project)), _fields, raw=raw)


@command(verbs.list_, "pipeline")
@click.argument("pipeline", required=False)
@click.option("--history", default="none", metavar="N|all", help="Older versions to show.")
@click.option("-s", "--spec", is_flag=True, help="Print the specs, for `create pipeline`.")
@EVERYWHERE
@RAW
def list_pipeline(
    session: Session, pipeline: str | None, history: str, spec: bool, everywhere: bool, raw: bool
) -> None:
    """List pipelines."""
    if raw and spec:
        raise click.UsageError("cannot set both --raw and --spec")
    found = session.client.list_pipelines(
        pipeline=None if pipeline is None else names.pipeline(pipeline, session.project),
        projects=() if everywhere or pipeline else (session.project,),
        history=history_of(history),
    )
    found = session.of_project(found, everywhere or pipeline is not None)
    if spec:
        for info in found:
            emit(info.effective_spec_json or info.user_spec_json)
        return
    listing(found, ("NAME", "VERSION", "INPUT", "CREATED", "STATE / LAST JOB", "DESCRIPTION"), _row, raw=raw)


@command(verbs.start, "pipeline")
@click.argument("pipeline")
def start_pipeline(session: Session, pipeline: str) -> None:
    """Let a stopped pipeline go on."""
    session.client.start_pipeline(names.pipeline(pipeline, session.project))


@command(verbs.stop, "pipeline")
@click.argument("pipeline")
def stop_pipeline(session: Session, pipeline: str) -> None:
    """Kill a pipeline's jobs and start no more."""
    session.client.stop_pipeline(names.pipeline(pipeline, session.project))


@command(verbs.rerun, "pipeline")
@click.argument("pipeline")
@REPROCESS
def rerun_pipeline(session: Session, pipeline: str, reprocess: bool) -> None:
    """Run a pipeline again over what its inputs hold now."""
    session.client.rerun_pipeline(names.pipeline(pipeline, session.project), reprocess=reprocess)


@command(verbs.run, "cron")
@click.argument("pipeline")
def run_cron(session: Session, pipeline: str) -> None:
    """Tick the clock inputs of a pipeline now."""
    session.client.run_cron(names.pipeline(pipeline, session.project))


@command(verbs.delete, "pipeline")
@click.argument("pipeline")
@click.option("-f", "--force", is_flag=True, help="Even when others read its output.")
@click.option("--keep-repo", is_flag=True, help="Keep its output, as an ordinary repo.")
def delete_pipeline(session: Session, pipeline: str, force: bool, keep_repo: bool) -> None:
    """Delete a pipeline together with what it wrote."""
    wanted = names.pipeline(pipeline, session.project)
    session.client.delete_pipeline(wanted, force=force, keep_repo=keep_repo)


def history_of(text: str) -> int:
    """none = 0, all = -1, or a number."""
    if text in ("none", "all"):
        return -1 if text == "all" else 0
    if not text.isdigit():
        raise click.UsageError(f"history is none, all or a number, not {text!r}")
    return int(text)


def _apply(session: Session, source: str, *, update: bool, reprocess: bool, dry_run: bool) -> None:
    """Create every spec of a file. What the file says about update, reprocess or dryRun goes before the flags."""
    for read in _read(session, source):
        merged = session.client.create_pipeline(
            json.dumps(read.spec),
            update=update if read.update is None else read.update,
            reprocess=reprocess if read.reprocess is None else read.reprocess,
            dry_run=dry_run if read.dry_run is None else read.dry_run,
        )
        for text in reading.warnings(read.spec):  # a spec that is refused has worse trouble
            sys.stderr.write(f"WARNING: {text}\n")
        if dry_run or read.dry_run:
            emit(merged)


def _read(session: Session, source: str) -> list[reading.Read]:
    """The specs of a file. Raises Mistaken."""
    wanted = reading.read(sources.load(source), project=session.project, source=sources.shown(source))
    if not wanted:
        raise click.UsageError(f"there is no pipeline spec in {sources.shown(source)}")
    return wanted


def input_text(input: pps.Input) -> str:
    """An input in short: cross is ⨯, union ∪, join ⋈."""
    if input.HasField("pfs"):
        leaf = input.pfs
        home = f"{leaf.project}/" if leaf.project and leaf.project != names.DEFAULT_PROJECT else ""
        return f"{home}{leaf.repo}:{leaf.glob}"
    if input.HasField("cron"):
        return f"{input.cron.name}:{input.cron.spec}"
    for parts, sign in ((input.cross, " ⨯ "), (input.union, " ∪ "), (input.join, " ⋈ ")):
        if parts:
            return f"({sign.join(map(input_text, parts))})"
    return f"(Group: {', '.join(map(input_text, input.group))})" if input.group else "none"


def state_of(info: pps.PipelineInfo) -> str:
    return enum_word(pps.PipelineState.Name(info.state), "PIPELINE_")


def _row(info: pps.PipelineInfo) -> tuple[str, ...]:
    last = enum_word(pps.JobState.Name(info.last_job_state), "JOB_") if info.last_job_state else "-"
    return (
        names.shown_pipeline(info.pipeline),
        str(info.version),
        input_text(info.details.input),
        when(info.details.created_at),
        f"{state_of(info)} / {last}",
        info.details.description or info.reason,
    )


def _fields(info: pps.PipelineInfo) -> list[tuple[str, str]]:
    details = info.details
    return [
        ("Name", names.shown_pipeline(info.pipeline)),
        ("Version", str(info.version)),
        ("Description", details.description),
        ("State", state_of(info)),
        ("Stopped", "yes" if info.stopped else ""),
        ("Reason", info.reason),
        ("Recent trouble", details.recent_error),
        ("Last job", enum_word(pps.JobState.Name(info.last_job_state), "JOB_") if info.last_job_state else ""),
        ("Input", input_text(details.input)),
        ("Output branch", details.output_branch),
        ("Command", " ".join(details.transform.cmd)),
        ("Stdin", "\n".join(details.transform.stdin)),
        ("Image", details.transform.image),
        ("Workers", f"{details.workers_available} of {details.workers_requested or info.parallelism}"),
        ("Datum tries", str(details.datum_tries) if details.datum_tries else ""),
        ("Created", when(details.created_at)),
        ("Updated", when(details.updated_at) if details.HasField("updated_at") else ""),
        *((f"Metadata {key}", value) for key, value in sorted(info.metadata.items())),
    ]
