"""Commands for whoever runs an instance: `gc`, `scrub`, `backup` and `restore`."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import grpc
from rich.filesize import decimal

from datamill.cli import verbs
from datamill.cli.commands.instance import DATA_DIR, servers
from datamill.cli.output import as_json, emit, people_watch
from datamill.cli.session import RAW, Session, Unsuccessful, command, home
from datamill.errors import Invalid
from datamill.wire import upkeep_v1_pb2 as wire
from datamill.wire import upkeep_v1_pb2_grpc

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@command(verbs.root, "gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--hold",
    metavar="TIME",
    help="Delete what was found so long ago, for example 30m; 0s: at once. [default: as the server is set, 6h]",
)
@RAW
def gc(session: Session, dry_run: bool, hold: str | None, raw: bool) -> None:
    """Delete stored content that nothing refers to any more.

    What is found now is deleted by a later run, after callers that may still read it have had their time (--hold).
    """
    request = wire.CollectGarbageRequest(dry_run=dry_run)
    if hold is not None:
        request.hold.FromTimedelta(_time(hold))
    report = wire.CollectGarbageReport()
    calls = upkeep_v1_pb2_grpc.UpkeepServiceStub(session.client.channel)
    for answer in session.client.stream(calls.CollectGarbage, request):
        if answer.HasField("report"):
            report = answer.report
        elif people_watch() and not raw:
            emit(f"… {answer.stage}")
    emit(as_json(report) if raw else "\n".join(_lines(report, dry_run)))


@command(verbs.root, "scrub")
@click.option("--repair-from", default="", metavar="URL", help="Another copy of the store: file:///folder or s3://….")
@click.option("--rate", type=float, default=0.0, metavar="MB", help="Read at most so many megabytes a second.")
@RAW
def scrub(session: Session, repair_from: str, rate: float, raw: bool) -> None:
    """Read everything that counts and hold it against its hashes.

    Ends with 1 when something is damaged and was not repaired.
    """
    where = Path(repair_from).absolute().as_uri() if repair_from and "://" not in repair_from else repair_from
    request = wire.ScrubRequest(rate_bytes=int(rate * 1e6), repair_from=where)
    report = wire.ScrubReport()
    calls = upkeep_v1_pb2_grpc.UpkeepServiceStub(session.client.channel)
    for answer in session.client.stream(calls.Scrub, request):
        report = answer.report if answer.HasField("report") else report
        if raw:
            emit(as_json(answer))
        elif answer.HasField("damaged"):
            end = ", repaired" if answer.damaged.repaired else ""
            emit(f"damaged  {answer.damaged.key}: {answer.damaged.reason}{end}")
        elif answer.HasField("file"):
            commit = answer.file.commit
            what = answer.file.path or "a part of its tree"
            emit(f"affected {commit.repo.project.name}/{commit.repo.name}@{commit.id}: {what}")
    if not raw:
        emit(
            f"{report.packs} packs, {report.blobs} blobs, {report.commits} commits, {_size(report.size_bytes)} read: "
            f"{report.damaged} damaged, {report.repaired} repaired"
        )
    if report.damaged > report.repaired:
        raise Unsuccessful(f"{report.damaged - report.repaired} damaged packs are not repaired")


@verbs.root.command("backup")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@DATA_DIR
def backup(target: Path, data_dir: Path | None) -> Any:
    """Copy the datamill on this machine into the folder TARGET, while it works.

    Into a folder that has a backup already goes only what is new.
    """
    return servers("deploy.local.backup").backup(data_dir or home(), target)


@verbs.root.command("restore")
@click.argument("source", type=click.Path(file_okay=False, exists=True, path_type=Path))
@DATA_DIR
def restore(source: Path, data_dir: Path | None) -> Any:
    """Make a data directory out of the backup in the folder SOURCE, checked; `datamill up` then starts it."""
    return servers("deploy.local.backup").restore(source, data_dir or home())


def _lines(report: wire.CollectGarbageReport, dry_run: bool) -> Iterator[str]:
    found = (
        ("content that nothing refers to", report.unreferenced_content),
        ("trees that nothing refers to", report.unreferenced_index),
        ("given up while being written", report.abandoned),
        ("mostly garbage, " + ("to be rewritten" if dry_run else "rewritten"), report.rewritten),
        ("kept until their time is over", report.waiting),
        ("deleted", report.deleted),
    )
    yield f"{'PACKS':>8}  {'SIZE':>10}  WHAT"
    yield f"{report.kept.packs:>8}  {'':>10}  in use"
    for what, count in found:
        if count.packs:
            yield f"{count.packs:>8}  {_size(count.size_bytes) if count.size_bytes else '':>10}  {what}"
    if report.unsettled_packs:
        yield f"{report.unsettled_packs:>8}  {'':>10}  written by callers too lately to be judged"
    if report.expired_file_sets or report.carried_out_layers:
        yield f"let go: {report.expired_file_sets} expired file sets, {report.carried_out_layers} finished uploads"


def _size(size_bytes: int) -> str:
    return decimal(size_bytes)


def _time(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None:
        raise Invalid(f"{text!r} is no time: say for example 30s, 10m, 6h or 2d", grpc.StatusCode.INVALID_ARGUMENT)
    return timedelta(**{_UNITS[found[2]]: float(found[1])})
