"""Commands for whoever runs an instance: `gc`, `scrub`, `backup` and `restore`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import grpc
from rich.filesize import decimal

from datamill.cli import verbs
from datamill.cli.commands.instance import DATA_DIR, DATABASE_URL, STORE, servers
from datamill.cli.output import Raw, emit, people_watch
from datamill.cli.session import RAW, Unsuccessful, home
from datamill.errors import Invalid, translated
from datamill.wire import upkeep_v1_pb2 as wire

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@verbs.root.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--hold",
    metavar="TIME",
    help="Delete what was found so long ago, for example 30m; 0s: at once. [default: as the server is set, 6h]",
)
@DATA_DIR
@RAW
def gc(dry_run: bool, hold: str | None, data_dir: Path | None, raw: Raw) -> None:
    """Delete stored content that nothing refers to any more, on the datamill of this machine.

    What is found now is deleted by a later run, after callers that may still read it have had their time (--hold).
    """
    request, of_jobs = wire.CollectGarbageRequest(dry_run=dry_run), wire.CollectJobGarbageRequest(dry_run=dry_run)
    if hold is not None:
        request.hold.FromTimedelta(_time(hold))
        of_jobs.hold.CopyFrom(request.hold)
    report = wire.CollectGarbageReport()
    with _upkeep(data_dir) as calls:
        for answer in calls.pfs.CollectGarbage(request, metadata=calls.metadata):
            if answer.HasField("report"):
                report = answer.report
            elif people_watch() and not raw:
                emit(f"… {answer.stage}")
        jobs = calls.jobs.CollectJobGarbage(of_jobs, metadata=calls.metadata)
    if raw:
        raw.emit(report)
        raw.emit(jobs)
    else:
        emit("\n".join([*_lines(report, dry_run), *_lines_of_jobs(jobs)]))


@verbs.root.command("scrub")
@click.option(
    "--repair-from", default="", metavar="URL", help="A backup, or another copy of the store: a folder or s3://…."
)
@click.option("--rate", type=float, default=0.0, metavar="MB", help="Read at most so many megabytes a second.")
@DATA_DIR
@RAW
def scrub(repair_from: str, rate: float, data_dir: Path | None, raw: Raw) -> None:
    """Read everything that counts on the datamill of this machine, and hold it against its hashes.

    Ends with 1 when something is damaged and was not repaired.
    """
    request = wire.ScrubRequest(rate_bytes=int(rate * 1e6), repair_from=_copy(repair_from))
    report = wire.ScrubReport()
    with _upkeep(data_dir) as calls:
        for answer in calls.pfs.Scrub(request, metadata=calls.metadata):
            report = answer.report if answer.HasField("report") else report
            if raw:
                raw.emit(answer)
            elif text := _found(answer):
                emit(text)
    if not raw:
        emit(
            f"{report.packs} packs, {report.blobs} blobs, {report.commits} commits, {_size(report.size_bytes)} read: "
            f"{report.damaged} damaged, {report.repaired} repaired"
        )
    if report.damaged > report.repaired:
        raise Unsuccessful(f"{report.damaged - report.repaired} damaged packs are not repaired")


@contextmanager
def _upkeep(data_dir: Path | None) -> Iterator[Any]:
    """The upkeep calls of the instance on a data directory; failures as those of every other call."""
    calling = servers("deploy.local.upkeep.calling")
    try:
        with calling.upkeep(data_dir or home()) as calls:
            yield calls
    except calling.CannotRun as problem:
        raise Unsuccessful(str(problem)) from problem
    except grpc.RpcError as error:
        raise translated(error) from error


def _copy(text: str) -> str:
    """The address of another copy of the store; of a backup's, when the folder holds one."""
    if not text or "://" in text:
        return text
    folder = Path(text).absolute()
    inside = folder / "objects" / "pfs"
    return (inside if inside.is_dir() else folder).as_uri()


def _found(answer: wire.ScrubResponse) -> str:
    """What a scrub says, for people; "" for how far it is."""
    if answer.HasField("damaged"):
        end = ", repaired" if answer.damaged.repaired else ""
        return f"damaged  {answer.damaged.key}: {answer.damaged.reason}{end}"
    if answer.HasField("file"):
        commit, what = answer.file.commit, answer.file.path or "a part of its tree"
        return f"affected {commit.repo.project.name}/{commit.repo.name}@{commit.id}: {what}"
    return ""


@verbs.root.command("backup")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@DATA_DIR
def backup(target: Path, data_dir: Path | None) -> Any:
    """Copy the datamill on this machine into the folder TARGET, while it works.

    Into a folder that has a backup already goes only what is new.
    """
    return servers("deploy.local.upkeep.backup").backup(data_dir or home(), target)


@verbs.root.command("restore")
@click.argument("source", type=click.Path(file_okay=False, exists=True, path_type=Path))
@DATA_DIR
@DATABASE_URL
@STORE
def restore(source: Path, data_dir: Path | None, database_url: str, store: str) -> Any:
    """Make a data directory out of the backup in the folder SOURCE, checked; `datamill up` then starts it.

    Its databases and its store may be of another kind than those that were backed up.
    """
    found = servers("deploy.local.upkeep.restore")
    return found.restore(source, data_dir or home(), database_url=database_url, store_url=store)


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


def _lines_of_jobs(report: wire.CollectJobGarbageResponse) -> Iterator[str]:
    found = (
        ("plans and results of deleted jobs", report.unreferenced),
        ("plans and results that were begun and never used", wire.ObjectCount(objects=report.abandoned)),
        ("plans and results kept until their time is over", wire.ObjectCount(objects=report.waiting)),
        ("plans and results deleted", report.deleted),
    )
    for what, count in found:
        if count.objects:
            yield f"{count.objects:>8}  {_size(count.size_bytes) if count.size_bytes else '':>10}  {what}"


def _size(size_bytes: int) -> str:
    return decimal(size_bytes)


def _time(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None:
        raise Invalid(f"{text!r} is no time: say for example 30s, 10m, 6h or 2d", grpc.StatusCode.INVALID_ARGUMENT)
    return timedelta(**{_UNITS[found[2]]: float(found[1])})
