"""`datamill find logs`: lines by their text, over jobs, pipelines or a project. Elsewhere: reading on (reading.py)."""

import sys
from datetime import UTC, datetime

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.commands.logs.reading import length
from datamill.cli.output import Raw, emit
from datamill.cli.session import RAW, Session, command
from datamill.wire import logs_pb2 as logs

LEVELS = {"debug": logs.LOG_LEVEL_DEBUG, "info": logs.LOG_LEVEL_INFO, "error": logs.LOG_LEVEL_ERROR}


@command(verbs.find, "log")
@click.argument("pattern")
@click.argument("where", required=False, metavar="[PIPELINE|PIPELINE@JOB_ID|JOB_ID|DATUM_ID]")
@click.option("--logql", is_flag=True, help='PATTERN is a query such as {pipeline="edges"} |= "word", over all lines.')
@click.option("-v", "--not", "negate", is_flag=True, help="Lines that do not match.")
@click.option("-a", "--all", "everybody", is_flag=True, help="The workers' own lines, too.")
@click.option("--level", type=click.Choice(list(LEVELS)), help="As severe as this, or more.")
@click.option("--since", metavar="24h", help="How far to go back: 30s, 10m, 24h, 7d.")
@click.option("--until", metavar="1h", help="Nothing newer than this.")
@click.option("-n", "--number", default=0, metavar="N", help="At most so many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, until interrupted.")
@RAW
def find_log(
    session: Session,
    pattern: str,
    where: str | None,
    logql: bool,
    negate: bool,
    everybody: bool,
    level: str | None,
    since: str | None,
    until: str | None,
    number: int,
    follow: bool,
    raw: Raw,
) -> None:
    """Find the log lines that match PATTERN, a regular expression: of the project's pipelines, or of what is named."""
    if logql and (where is not None or negate):
        raise click.UsageError("a query of --logql says by itself whose lines, and which")
    now = datetime.now(UTC)
    filter = logs.LogFilter(limit=number, user_logs_only=not everybody and not logql)
    filter.level = LEVELS.get(level or "", logs.LOG_LEVEL_UNSET)
    if not logql:
        filter.regex.CopyFrom(logs.RegexLogFilter(pattern=pattern, negate=negate))
    if since is not None:
        getattr(filter.time_range, "from").FromDatetime(now - length(since))
    if until is not None:
        filter.time_range.until.FromDatetime(now - length(until))
    query = logs.LogQuery(admin=logs.AdminLogQuery(logql=pattern)) if logql else _whose(session, where)
    for line in session.client.query_logs(query, filter, follow=follow):
        if raw:
            raw.emit(line)
        else:
            emit(_shown(line))
        sys.stdout.flush()


def _whose(session: Session, where: str | None) -> logs.LogQuery:
    user = logs.UserLogQuery()
    if where is None:
        user.project = session.project
    elif names.is_id(where):
        user.job = where.lower()
    elif names.is_datum_id(where):
        user.datum = where
    elif "@" in where:
        job = session.job(where)
        owner = logs.PipelineLogQuery(project=job.pipeline.project.name, pipeline=job.pipeline.name)
        user.pipeline_job.CopyFrom(logs.PipelineJobLogQuery(pipeline=owner, job=job.id))
    else:
        found = session.client.inspect_pipeline(names.pipeline(where, session.project), details=False).pipeline
        user.pipeline.project, user.pipeline.pipeline = found.project.name, found.name
    return logs.LogQuery(user=user)


def _shown(line: logs.LogMessage) -> str:
    """The line, behind whose it is."""
    told = line.pps_log_message
    if not told.pipeline_name:  # of a service
        return line.verbatim.line.decode("utf-8", "replace")
    home = "" if told.project_name in ("", names.DEFAULT_PROJECT) else f"{told.project_name}/"
    job = f"@{told.job_id}" if told.job_id else ""
    return f"{home}{told.pipeline_name}{job}: {told.message}"
