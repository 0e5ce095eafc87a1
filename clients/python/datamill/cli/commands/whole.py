"""Commands about everything there is: `fsck`, `delete all` and `list task`."""

from itertools import chain

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.output import Raw, emit, listing
from datamill.cli.session import RAW, Session, Unsuccessful, command
from datamill.wire import taskapi_pb2 as tasks

SERVICES = ["pps", "pfs"]


@command(verbs.root, "fsck")
@click.option("--zombie", metavar="COMMIT", help="Look for files of this output commit whose datum is gone, too.")
@click.option("--zombie-all", is_flag=True, help="The same for the newest good output of every pipeline.")
def fsck(session: Session, zombie: str | None, zombie_all: bool) -> None:
    """Check that branches and commits hang together; ends with 1 when something is wrong. Nothing is changed."""
    if zombie is not None and zombie_all:
        raise click.UsageError("--zombie and --zombie-all exclude each other")
    target = None if zombie is None else names.commit(zombie, session.project)
    count = 0
    for trouble in session.client.fsck(zombies_of=target, all_zombies=zombie_all):
        emit(trouble)
        count += 1
    if count:
        raise Unsuccessful(f"{count} found to be wrong")


@command(verbs.delete, "all")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete_all(session: Session, yes: bool) -> None:
    """Delete every pipeline, repo, project and transaction. Nothing of it can be brought back."""
    client = session.client
    pipelines, repos = list(client.list_pipelines()), list(client.list_repos())
    what = f"{len(pipelines)} pipelines and {len(repos)} repos with all their history"
    if not yes and not click.confirm(f"Delete {what}?", err=True):
        raise Unsuccessful("nothing was deleted")
    for pipeline in pipelines:
        client.delete_pipeline(pipeline.pipeline, force=True)
    client.delete_all_data()
    emit(f"deleted {what}")


@command(verbs.list_, "task")
@click.argument("service", type=click.Choice(SERVICES), required=False)
@click.option("-n", "--namespace", default="", help="Only of this kind of work, for example preprocessing.")
@click.option("-g", "--group", default="", help="Only of this group in it, for example a job's id.")
@RAW
def list_task(session: Session, service: str | None, namespace: str, group: str, raw: Raw) -> None:
    """List the pieces of work in flight: of jobs (pps), of merging and compacting files (pfs), or both."""
    client = session.client
    asked = [service] if service else SERVICES
    found = chain.from_iterable(client.list_tasks(one, namespace=namespace, group=group) for one in asked)
    listing(found, ("ID", "NAMESPACE", "GROUP", "STATE"), _task_row, raw=raw)


def _task_row(info: tasks.TaskInfo) -> tuple[str, ...]:
    return info.id, info.group.namespace, info.group.group, tasks.State.Name(info.state).lower()
