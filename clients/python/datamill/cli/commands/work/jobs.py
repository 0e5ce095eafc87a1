"""Commands about jobs. Elsewhere: their datums (datums.py), and what their code printed (commands/logs/)."""

import sys
import time
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from datamill import names
from datamill.cli import verbs
from datamill.cli.commands.work.pipelines import history_of, input_text
from datamill.cli.commands.work.states import filter_of
from datamill.cli.output import Raw, emit, enum_word, length_of, listing, one, size, span, when
from datamill.cli.reasons import way_on
from datamill.cli.session import EVERYWHERE, RAW, Session, Unsuccessful, command
from datamill.client import Client
from datamill.methods.jobs import ENDED
from datamill.transport import patiently
from datamill.wire import explain_v1_pb2 as explain
from datamill.wire import pps_v2_pb2 as pps

HEADERS = ("PIPELINE", "ID", "STARTED", "DURATION", "PROGRESS", "DL", "UL", "STATE")
LOOK_SECONDS = 0.3


@command(verbs.inspect, "job")
@click.argument("job")
@RAW
def inspect_job(session: Session, job: str, raw: Raw) -> None:
    """Show a job, PIPELINE@ID or PIPELINE@BRANCH."""
    if names.is_id(job):
        raise click.UsageError(f'Use "list job {job}" to see jobs with a given ID across different pipelines')
    one(session.client.inspect_job(session.job(job), details=True), _fields, raw=raw)


@command(verbs.list_, "job")
@click.argument("what", required=False, metavar="[ID|PIPELINE]")
@click.option("-p", "--pipeline", help="Only of this pipeline.")
@click.option("-i", "--input", "inputs", multiple=True, metavar="COMMIT", help="Only those that read this; repeatable.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only in this state; repeatable.")
@click.option("-x", "--expand", is_flag=True, help="A line per job, not per change.")
@click.option("--history", metavar="N|all|none", help="Versions of the pipeline to go back. [all]")
@click.option("-n", "--number", default=0, metavar="N", help="At most so many.")
@EVERYWHERE
@RAW
def list_job(
    session: Session,
    what: str | None,
    pipeline: str | None,
    inputs: tuple[str, ...],
    states: tuple[str, ...],
    expand: bool,
    history: str | None,
    number: int,
    everywhere: bool,
    raw: Raw,
) -> None:
    """List changes and how their jobs did, the jobs of one change (ID), or of a pipeline."""
    client = session.client
    projects = () if everywhere else (session.project,)
    id = what if what is not None and names.is_id(what) else None
    if id is None and what is not None:
        if pipeline is not None:
            raise click.UsageError("either an ID, or one pipeline")
        pipeline = what
    if id is not None:
        if others := _said(pipeline=pipeline, input=inputs, state=states, expand=expand, history=history):
            raise click.UsageError(f"cannot specify {others} when listing the jobs of one change")
        listing(client.inspect_job_set(id.lower()), HEADERS, _row, raw=raw)
    elif _said(pipeline=pipeline, input=inputs, state=states, expand=expand, history=history):
        jobs = client.list_jobs(
            pipeline=None if pipeline is None else names.pipeline(pipeline, session.project),
            projects=() if pipeline else projects,
            inputs=[names.commit(one, session.project) for one in inputs],
            history=history_of(history or "all"),
            number=number,
            filter=filter_of(states, "JOB_"),
        )
        listing(session.of_project(jobs, everywhere or pipeline is not None), HEADERS, _row, raw=raw)
    else:
        sets = client.list_job_sets(projects=projects, number=number)
        listing(session.of_project(sets, everywhere), ("ID", "JOBS", "DONE", "CREATED", "STATE"), _set_row, raw=raw)


@command(verbs.wait, "job")
@click.argument("job")
@RAW
def wait_job(session: Session, job: str, raw: Raw) -> None:
    """Wait until a job (PIPELINE@ID or PIPELINE@BRANCH), or every job of a change (ID), has ended."""
    client = session.client
    if names.is_id(job):
        asked = [info.job for info in client.inspect_job_set(job.lower())]
        for info in client.inspect_job_set(job.lower(), wait=True):
            if info.job not in asked:
                asked.append(info.job)
    else:
        asked = [session.job(job)]
    ended = [_watched(client, one) for one in asked]
    listing(ended, HEADERS, _row, raw=raw)
    for info in ended:
        if info.state != pps.JOB_SUCCESS:
            reason = f": {info.reason}" if info.reason else ""
            reason += way_on(info.reason, names.shown_pipeline(info.job.pipeline), info.job.id)
            raise Unsuccessful(f"job {names.shown_job(info.job)} ended as {_state(info)}{reason}")


@command(verbs.stop, "job")
@click.argument("job")
def stop_job(session: Session, job: str) -> None:
    """Stop a job (PIPELINE@ID), or every job of a change that has not ended (ID), all or none."""
    if names.is_id(job):
        session.client.stop_job_set(job.lower())
    else:
        session.client.stop_job(session.job(job))


@command(verbs.delete, "job")
@click.argument("job")
def delete_job(session: Session, job: str) -> None:
    """Stop a job and forget it."""
    session.client.delete_job(session.job(job))


@command(verbs.why, "job")
@click.argument("job")
@RAW
def why_job(session: Session, job: str, raw: Raw) -> None:
    """Say what a job (PIPELINE@ID or PIPELINE@BRANCH) is waiting for, and since when."""
    client = session.client
    asked = session.job(job)
    found = client.why_job(asked)
    if raw:
        raw.emit(found)
        return
    emit(found.sentence)
    if found.waits:
        listing(found.waits, ("WAITS FOR", "WHAT", "SINCE"), _wait_row, raw=raw)
    elif client.inspect_pipeline(asked.pipeline, details=False).stopped:
        name = names.shown_pipeline(asked.pipeline)
        emit(f"{name} is stopped, and changes since then wait: `datamill start pipeline {name}` lets it go on")


def _said(**options: object) -> str:
    """Which of these options were given."""
    return ", ".join(f"--{name}" for name, value in options.items() if value)


def _watched(client: Client, job: pps.Job) -> pps.JobInfo:
    """Wait for a job, with a bar on standard error when that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return client.wait_job(job)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(names.shown_pipeline(job.pipeline), total=None)
        info = client.inspect_job(job)
        while info.state not in ENDED:
            words = f"{names.shown_pipeline(job.pipeline)} {_state(info)}"
            bars.update(task, total=info.data_total or None, completed=_done(info), description=words)
            time.sleep(LOOK_SECONDS)
            info = patiently(lambda: client.inspect_job(job))
        return info


def _done(info: pps.JobInfo) -> int:
    return info.data_processed + info.data_skipped + info.data_failed + info.data_recovered


def _state(info: pps.JobInfo) -> str:
    return enum_word(pps.JobState.Name(info.state), "JOB_")


def _progress(info: pps.JobInfo) -> str:
    """processed + skipped / total, as in pachctl; failed and recovered ones only when there are some."""
    parts = [str(info.data_processed), str(info.data_skipped)]
    if info.data_recovered:
        parts.append(f"{info.data_recovered} recovered")
    if info.data_failed:
        parts.append(f"{info.data_failed} failed")
    return f"{' + '.join(parts)} / {info.data_total}"


def _duration(info: pps.JobInfo) -> str:
    if not info.HasField("started"):
        return "-"
    until = info.finished.ToDatetime(UTC) if info.HasField("finished") else datetime.now(UTC)
    return span(until - info.started.ToDatetime(UTC))


def _row(info: pps.JobInfo) -> tuple[str, ...]:
    return (
        names.shown_pipeline(info.job.pipeline),
        info.job.id,
        when(info.started),
        _duration(info),
        _progress(info),
        size(info.stats.download_bytes),
        size(info.stats.upload_bytes),
        _state(info) + (f" ({info.reason})" if info.reason and sys.stdout.isatty() else ""),
    )


def _set_row(info: pps.JobSetInfo) -> tuple[str, ...]:
    ended = [job for job in info.jobs if job.state in ENDED]
    bad = [job for job in ended if job.state != pps.JOB_SUCCESS]
    newest = max((job.created.ToDatetime() for job in info.jobs), default=None)
    created = next((job.created for job in info.jobs if job.created.ToDatetime() == newest), None)
    state = _state(bad[0]) if bad else "success" if len(ended) == len(info.jobs) else "running"
    return (
        info.job_set.id,
        str(len(info.jobs)),
        f"{len(ended)} / {len(info.jobs)}",
        when(created) if created is not None else "-",
        state,
    )


def _fields(info: pps.JobInfo) -> list[tuple[str, str]]:
    return [
        ("Job", names.shown_job(info.job)),
        ("State", _state(info)),
        ("Reason", info.reason),
        ("Pipeline version", str(info.pipeline_version)),
        ("Created", when(info.created)),
        ("Started", when(info.started)),
        ("Duration", _duration(info)),
        ("Datums", _progress(info)),
        ("Restarts", str(info.restart) if info.restart else ""),
        ("Downloaded", f"{size(info.stats.download_bytes)} in {length_of(info.stats.download_time)}"),
        ("Processing time", length_of(info.stats.process_time)),
        ("Uploaded", f"{size(info.stats.upload_bytes)} in {length_of(info.stats.upload_time)}"),
        ("Input", input_text(info.details.input)),
        ("Command", " ".join(info.details.transform.cmd)),
        ("Output", names.shown_commit(info.output_commit)),
    ]


def _wait_row(wait: explain.JobWait) -> tuple[str, ...]:
    words = explain.JobWait.Kind.Name(wait.kind).removeprefix("KIND_").lower().replace("_", " ")
    parts = [
        names.shown_commit(wait.commit) if wait.HasField("commit") else "",
        names.shown_job(wait.job) if wait.HasField("job") else "",
        f"worker {wait.worker}" if wait.worker else "",
        f"datums: {wait.datums}, in sets: {wait.sets}" if wait.sets else "",
        wait.reason,
    ]
    return (words, ", ".join(part for part in parts if part) or "-", when(wait.since))
