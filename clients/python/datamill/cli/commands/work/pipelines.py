"""Commands about pipelines that are there. Elsewhere: those that take specs (specs.py)."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress

import click
from google.protobuf.json_format import ParseDict

from datamill import names
from datamill.cli import verbs
from datamill.cli.commands.work.states import filter_of
from datamill.cli.output import Raw, emit, enum_word, length_of, listing, one, when
from datamill.cli.session import EVERYWHERE, RAW, Session, command
from datamill.client import Client
from datamill.errors import Unsupported
from datamill.names import shown_pipeline
from datamill.wire import pps_v2_pb2 as pps

REPROCESS = click.option("--reprocess", is_flag=True, help="Run every datum again, not only new ones.")
EVERY_JOB = "every_job"
FAILED = (pps.PIPELINE_FAILURE, pps.PIPELINE_CRASHING)
HEADERS = ("NAME", "VERSION", "INPUT", "CREATED", "STATE / LAST JOB", "DESCRIPTION")


@command(verbs.inspect, "pipeline")
@click.argument("pipeline")
@RAW
def inspect_pipeline(session: Session, pipeline: str, raw: Raw) -> None:
    """Show a pipeline."""
    one(session.client.inspect_pipeline(names.pipeline(pipeline, session.project)), _fields, raw=raw)


@command(verbs.list_, "pipeline")
@click.argument("pipeline", required=False)
@click.option("--history", default="none", metavar="N|all", help="Older versions to show.")
@click.option("-c", "--commit", "at", default="", metavar="ID", help="As they were at this change.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only in this state; repeatable.")
@click.option("-s", "--spec", is_flag=True, help="Print the specs, for `create pipeline`.")
@EVERYWHERE
@click.option("--raw", is_flag=True, help="Print JSON, one object a line, or YAML.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["json", "yaml"]), help="With --raw or --spec: in which form."
)
def list_pipeline(
    session: Session,
    pipeline: str | None,
    history: str,
    at: str,
    states: tuple[str, ...],
    spec: bool,
    everywhere: bool,
    raw: bool,
    form: str | None,
) -> None:
    """List pipelines."""
    if raw and spec:
        raise click.UsageError("cannot set both --raw and --spec")
    if form and not raw and not spec:
        raise click.UsageError("cannot set --output (-o) without --raw")
    found = session.client.list_pipelines(
        pipeline=None if pipeline is None else names.pipeline(pipeline, session.project),
        projects=() if everywhere or pipeline else (session.project,),
        history=history_of(history),
        filter=filter_of(states, "PIPELINE_"),
        at=at,
    )
    found = session.of_project(found, everywhere or pipeline is not None)
    written = Raw(form or "json")
    if spec:
        for info in found:
            written.emit(ParseDict(json.loads(info.effective_spec_json), pps.CreatePipelineRequest()))
        return
    bad: list[str] = []
    listing(_noted(found, bad), HEADERS, _row, raw=written if raw else Raw.NO)
    if not raw and not history_of(history) and not at and pipeline is None:
        _alerts_told(session.client, "" if everywhere else session.project)
    if bad and not raw:
        sys.stderr.write(f"datamill: in trouble: {', '.join(bad)}; `datamill inspect pipeline {bad[0]}` says why\n")


@command(verbs.check, "status")
@EVERYWHERE
@RAW
def check_status(session: Session, everywhere: bool, raw: Raw) -> None:
    """List the pipelines that something is to be said about: those that have been up for too long."""
    found = session.client.check_status("" if everywhere else session.project)
    listing(found, ("PIPELINE", "ALERT"), lambda info: (shown_pipeline(info.pipeline), "; ".join(info.alerts)), raw=raw)


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
@click.argument("pipeline", required=False)
@click.option("-f", "--force", is_flag=True, help="Even when others read its output.")
@click.option("--keep-repo", is_flag=True, help="Keep its output, as an ordinary repo.")
@click.option("--all", "all_of_them", is_flag=True, help="All pipelines of the project; with -A, of every project.")
@EVERYWHERE
def delete_pipeline(
    session: Session, pipeline: str | None, force: bool, keep_repo: bool, all_of_them: bool, everywhere: bool
) -> None:
    """Delete a pipeline together with what it wrote."""
    if (pipeline is None) != all_of_them:
        raise click.UsageError("either a pipeline or --all is wanted")
    if pipeline is not None:
        wanted = names.pipeline(pipeline, session.project)
        session.client.delete_pipeline(wanted, force=force, keep_repo=keep_repo)
        return
    projects = () if everywhere else (session.project,)
    for gone in session.client.delete_pipelines(projects, all=everywhere, force=force, keep_repo=keep_repo):
        emit(f"deleted {shown_pipeline(gone)}")


def history_of(text: str) -> int:
    """none = 0, all = -1, or a number."""
    if text in ("none", "all"):
        return -1 if text == "all" else 0
    if not text.isdigit():
        raise click.UsageError(f"history is none, all or a number, not {text!r}")
    return int(text)


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


def _noted(found: Iterable[pps.PipelineInfo], bad: list[str]) -> Iterator[pps.PipelineInfo]:
    """The same; the names of those in trouble are added to `bad`."""
    for info in found:
        if info.state in FAILED:
            bad.append(shown_pipeline(info.pipeline))
        yield info


def _row(info: pps.PipelineInfo) -> tuple[str, ...]:
    last = enum_word(pps.JobState.Name(info.last_job_state), "JOB_") if info.last_job_state else "-"
    return (
        shown_pipeline(info.pipeline),
        str(info.version),
        input_text(info.details.input),
        when(info.details.created_at),
        f"{state_of(info)} / {last}",
        info.details.description or info.reason,
    )


def _alerts_told(client: Client, project: str) -> None:
    """Say which pipelines something is to be said about. Servers that cannot tell are passed over."""
    with suppress(Unsupported):
        for info in client.check_status(project):
            for alert in info.alerts:
                sys.stderr.write(f"datamill: alert: {alert}\n")


def _fields(info: pps.PipelineInfo) -> list[tuple[str, str]]:
    details = info.details
    return [
        ("Name", shown_pipeline(info.pipeline)),
        ("Version", str(info.version)),
        ("Kind", enum_word(pps.PipelineInfo.PipelineType.Name(info.type), "PIPELINE_TYPE_") if info.type else ""),
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
        *_of_running(info),
        ("Created", when(details.created_at)),
        ("Updated", when(details.updated_at) if details.HasField("updated_at") else ""),
        ("All of it", f"datamill inspect pipeline {shown_pipeline(info.pipeline)} --raw -o yaml"),
        *((f"Metadata {key}", value) for key, value in sorted(info.metadata.items())),
    ]


def _of_running(info: pps.PipelineInfo) -> list[tuple[str, str]]:
    """How its code is run, where that is not as it always is."""
    details, transform = info.details, info.details.transform
    service = details.service
    served = f"{service.ip or 'localhost'}:{service.external_port}, leads to port {service.internal_port}"
    workers = f"{details.workers_available} of {details.workers_requested or info.parallelism}"
    return [
        ("Error command", " ".join(transform.err_cmd)),
        ("Secrets", ", ".join(secret.name for secret in transform.secrets)),
        ("Batching", "yes" if transform.datum_batching else ""),
        ("Serves at", served if details.HasField("service") else ""),
        ("Copied to", details.egress.URL or details.egress.object_storage.url or details.egress.sql_database.url),
        ("Workers", workers + (", none while idle" if details.autoscaling else "")),
        ("Datum tries", str(details.datum_tries) if details.datum_tries else ""),
        ("Datum timeout", length_of(details.datum_timeout) if details.HasField("datum_timeout") else ""),
        ("Job timeout", length_of(details.job_timeout) if details.HasField("job_timeout") else ""),
        ("Reprocess", details.reprocess_spec if details.reprocess_spec == EVERY_JOB else ""),
        ("Waiting work", str(details.unclaimed_tasks) if details.unclaimed_tasks else ""),
    ]
