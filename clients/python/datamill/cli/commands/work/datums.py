"""Commands about datums, and the one by which user code asks for its next."""

import os

import click
import grpc

from datamill import names
from datamill.cli import reasons, verbs
from datamill.cli.commands.work.states import datum_states
from datamill.cli.meaning import in_project
from datamill.cli.output import Raw, emit, length_of, listing, one, size, span
from datamill.cli.session import RAW, Session, Unsuccessful, command
from datamill.cli.specs import reading, sources
from datamill.errors import translated
from datamill.wire import explain_v1_pb2 as explain
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import worker_pb2 as worker
from datamill.wire import worker_pb2_grpc

PORT = "PPS_WORKER_GRPC_PORT"


@command(verbs.list_, "datum")
@click.argument("job", required=False)
@click.option("-f", "--file", "source", metavar="PATH|URL|-", help="A pipeline spec: the datums that it would have.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only in this state; repeatable.")
@click.option("-n", "--number", default=0, metavar="N", help="At most so many.")
@RAW
def list_datum(
    session: Session, job: str | None, source: str | None, states: tuple[str, ...], number: int, raw: Raw
) -> None:
    """List the datums of a job (PIPELINE@ID or PIPELINE@BRANCH), or those that a spec would have (-f)."""
    if job is not None and source is not None:
        raise click.UsageError("can't specify both a job and a pipeline spec")
    if job is None and source is None:
        raise click.UsageError("must specify either a job or a pipeline spec")
    wanted = datum_states(states)
    if source is not None:
        found = session.client.list_datums(input=_input(session, source), states=wanted, number=number)
    else:
        assert job is not None
        found = session.client.list_datums(session.job(job), states=wanted, number=number)
    listing(found, ("ID", "FILES", "STATUS", "TIME"), _row, raw=raw)


@command(verbs.inspect, "datum")
@click.argument("job")
@click.argument("datum", metavar="ID|/PATH")
@RAW
def inspect_datum(session: Session, job: str, datum: str, raw: Raw) -> None:
    """Show a datum of a job (PIPELINE@JOB_ID or PIPELINE@BRANCH).

    It is named by its ID, how that begins, or a path that it reads.
    """
    client = session.client
    asked = session.job(job)
    found = client.inspect_datum(asked, session.datum(asked, datum))
    one(found, lambda info: _fields(info) + reasons.of_datum(client, info), raw=raw)


@command(verbs.explain, "datum")
@click.argument("job")
@click.argument("datum", metavar="ID|/PATH")
@RAW
def explain_datum(session: Session, job: str, datum: str, raw: Raw) -> None:
    """Say why a datum ran in a job (PIPELINE@JOB_ID or PIPELINE@BRANCH), was skipped, or failed.

    It is named by its ID, how that begins, or a path that it reads.
    """
    asked = session.job(job)
    found = session.client.explain_datum(asked, session.datum(asked, datum, unfinished=True))
    if raw:
        raw.emit(found)
        return
    emit(found.sentence)
    one(found, _explained, raw=raw)


@command(verbs.restart, "datum")
@click.argument("job")
@click.argument("inputs", required=False, default="")
def restart_datum(session: Session, job: str, inputs: str) -> None:
    """Try the running datum of a job again whose inputs match (paths or hashes, comma-separated)."""
    filters = [one for one in inputs.split(",") if one]
    session.client.restart_datum(session.job(job), filters)


@verbs.next_.command("datum")
@click.option("--error", default="", metavar="TEXT", help="The datum in hand failed: what to say of it.")
def next_datum(error: str) -> None:
    """For user code with transform.datumBatching: end the datum in hand, and wait until the next is in /pfs.

    Its variables are then in /pfs/.env:  set -a; . /pfs/.env
    """
    port = os.environ.get(PORT)
    if not port:
        raise Unsuccessful(f"{PORT} is not set: this is for the code of a pipeline")
    address = f"127.0.0.1:{port}"
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            worker_pb2_grpc.WorkerStub(channel).NextDatum(worker.NextDatumRequest(error=error), wait_for_ready=True)
        except grpc.RpcError as refused:
            raise translated(refused, address) from refused


def _input(session: Session, source: str) -> pps.Input:
    """The input of the one spec in a file."""
    shown = sources.shown(source)
    found = reading.read(sources.load(source), project=session.project, source=shown)
    if len(found) != 1:
        raise click.UsageError(f"there are {len(found)} pipeline specs in {shown}, and one is wanted")
    message = reading.message(found[0].spec)
    return in_project(message.input, message.pipeline.project.name)


def _state(info: pps.DatumInfo) -> str:
    return pps.DatumState.Name(info.state).lower() if info.state else "-"


def _row(info: pps.DatumInfo) -> tuple[str, ...]:
    taken = info.stats.download_time.ToTimedelta() + info.stats.process_time.ToTimedelta()
    taken += info.stats.upload_time.ToTimedelta()
    files = ", ".join(_file(one) for one in info.data)
    return (info.datum.id, files, _state(info), span(taken) if taken else "-")


def _file(info: pfs.FileInfo) -> str:
    return f"{names.shown_repo(info.file.commit.repo)}:{info.file.path}"


def _fields(info: pps.DatumInfo) -> list[tuple[str, str]]:
    kept = info.pfs_state
    return [
        ("Datum", info.datum.id),
        ("Job", names.shown_job(info.datum.job)),
        ("State", _state(info)),
        ("Files", "\n".join(f"{_file(one)} ({size(one.size_bytes)})" for one in info.data)),
        ("Downloaded", f"{size(info.stats.download_bytes)} in {length_of(info.stats.download_time)}"),
        ("Processing time", length_of(info.stats.process_time)),
        ("Uploaded", f"{size(info.stats.upload_bytes)} in {length_of(info.stats.upload_time)}"),
        ("Kept at", f"{names.shown_commit(kept.commit)}:{kept.path}" if kept.path else ""),
    ]


def _explained(found: explain.ExplainDatumResponse) -> list[tuple[str, str]]:
    return [
        ("Held against", names.shown_job(found.base_job) if found.HasField("base_job") else ""),
        ("Ran in", names.shown_job(found.ran_in) if found.HasField("ran_in") else ""),
        ("Because", "\n".join(map(_reason, found.reasons))),
        ("Failed with", found.failure),
        ("Worker", found.worker),
    ]


def _reason(reason: explain.DatumReason) -> str:
    words = explain.DatumReason.Kind.Name(reason.kind).removeprefix("KIND_").lower().replace("_", " ")
    return f"{words}: {reason.input}:{reason.path}" if reason.path else words
