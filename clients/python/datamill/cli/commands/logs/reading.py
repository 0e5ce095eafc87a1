"""`datamill logs`: what the user's code printed, or the workers' own words, while it happens or afterwards.

Elsewhere: lines by their text (finding.py); what may break off while it follows (cli/following.py).
"""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.following import followed
from datamill.cli.output import Raw, emit
from datamill.cli.session import RAW, Session, command
from datamill.wire import pps_v2_pb2 as pps

LENGTH = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


@command(verbs.root, "logs")
@click.argument("what", required=False, metavar="[PIPELINE|PIPELINE@JOB_ID]")
@click.option("-p", "--pipeline", help="Of all jobs of this pipeline.")
@click.option("-j", "--job", metavar="PIPELINE@ID", help="Of this job.")
@click.option(
    "--datum", default="", metavar="ID", help="Of this datum only; of a job, how its ID begins or a path, too."
)
@click.option("--inputs", default="", metavar="A,B", help="Of datums that have these files (paths or hashes).")
@click.option("--worker", is_flag=True, help="The workers' own lines, instead of those of the user's code.")
@click.option("--master", is_flag=True, help="Lines of whoever runs the jobs.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, until interrupted.")
@click.option("--tail", default=0, metavar="N", help="Only the last N lines.")
@click.option("--since", metavar="24h", help="How far to go back: 30s, 10m, 24h, 7d.")
@RAW
def logs(
    session: Session,
    what: str | None,
    pipeline: str | None,
    job: str | None,
    datum: str,
    inputs: str,
    worker: bool,
    master: bool,
    follow: bool,
    tail: int,
    since: str | None,
    raw: Raw,
) -> None:
    """Print log lines, oldest first."""
    pipeline, job = _whose(what, pipeline, job)
    datum = _datum(session, job, datum)
    hidden = shown = 0

    def ask(follow: bool, since: timedelta | None) -> Iterator[pps.LogMessage]:
        return session.client.logs(
            pipeline=None if pipeline is None else names.pipeline(pipeline, session.project),
            job=None if job is None else session.job(job),
            datum=datum,
            filters=[one for one in inputs.split(",") if one],
            master=master,
            follow=follow,
            since=since,
        )

    def read(follow: bool) -> Iterator[pps.LogMessage]:
        nonlocal hidden
        start = None if since is None else length(since)
        for line in followed(lambda back: ask(True, back), start) if follow else ask(False, start):
            if raw or master or line.user is not worker:
                yield line
            else:
                hidden += 1

    for line in last(read, tail, follow=follow) if tail > 0 else read(follow):
        if raw:
            raw.emit(line)
        else:
            emit(line.message)
        sys.stdout.flush()
        shown += 1
    if hidden and not shown and not worker:
        sys.stderr.write("datamill: the code has printed nothing; --worker shows what the workers say of it\n")


def _whose(what: str | None, pipeline: str | None, job: str | None) -> tuple[str | None, str | None]:
    """A pipeline or a job, however it was said. Raises UsageError."""
    if sum(one is not None for one in (what, pipeline, job)) > 1:
        raise click.UsageError("only one of pipeline or job should be specified")
    if what is not None:
        return (None, what) if "@" in what else (what, None)
    if job is None and pipeline is None:
        raise click.UsageError("say whose: `datamill logs PIPELINE` or `datamill logs PIPELINE@JOB_ID`")
    return pipeline, job


def _datum(session: Session, job: str | None, said: str) -> str:
    """A datum's id. Raises UsageError, Unsuccessful."""
    if not said or names.is_datum_id(said):
        return said
    if job is None:
        raise click.UsageError(f"{said!r} is no ID of a datum; PIPELINE@JOB_ID --datum takes a path, too")
    return session.datum(session.job(job), said, unfinished=True)


def last(read: Callable[[bool], Iterator[pps.LogMessage]], number: int, *, follow: bool) -> Iterator[pps.LogMessage]:
    """The last lines of those that are shown. The server would count the lines of workers and user code together.

    read: the lines there are, or with True those and all to come, in the same order.
    """
    if not follow:
        return iter(deque(read(False), maxlen=number))
    there = sum(1 for _ in read(False))
    return islice(read(True), max(there - number, 0), None)


def length(text: str) -> timedelta:
    """A length of time such as 1h30m. Raises UsageError."""
    found = LENGTH.fullmatch(text)
    if not text or found is None:
        raise click.UsageError(f"{text!r} is not a length of time: write 30s, 10m, 24h or 7d")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
