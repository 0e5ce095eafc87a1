"""Commands about defaults: what the specs of pipelines start from, for the whole instance or for a project."""

import json

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.output import Raw, as_yaml, emit
from datamill.cli.session import RAW, Session, command
from datamill.cli.specs import fields, sources, values
from datamill.cli.specs.mistakes import Mistake, Mistaken
from datamill.wire import pps_v2_pb2 as pps

CLUSTER = click.option("--cluster", is_flag=True, help="Those of the whole instance; --project NAME: of a project.")
FILE = click.option("-f", "--file", "source", default="-", metavar="PATH|URL|-", help="JSON or YAML. [standard input]")
REGENERATE = click.option("--regenerate", is_flag=True, help="Update the pipelines whose specs change by it, too.")
REPROCESS = click.option("--reprocess", is_flag=True, help="Update them, and run all their datums again.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only tell which pipelines would change.")


@command(verbs.inspect, "defaults")
@CLUSTER
@RAW
def inspect_defaults(session: Session, cluster: bool, raw: Raw) -> None:
    """Show defaults, of the instance (--cluster) or of a project (--project)."""
    text = session.client.defaults(_whose(session, cluster))
    if raw is Raw.YAML:
        emit(as_yaml(json.loads(text)).rstrip("\n"))
    else:
        emit(text if raw else json.dumps(json.loads(text), indent=2, ensure_ascii=False))


@command(verbs.create, "defaults")
@CLUSTER
@FILE
@REGENERATE
@REPROCESS
@DRY_RUN
def set_defaults(
    session: Session, cluster: bool, source: str, regenerate: bool, reprocess: bool, dry_run: bool
) -> None:
    """Set defaults, of the instance (--cluster) or of a project (--project): {"createPipelineRequest": {…}}.

    What was set before is replaced: `create defaults` and `update defaults` do the same.
    """
    text = _read(source, of_cluster=cluster)
    _set(session, cluster, text, regenerate=regenerate, reprocess=reprocess, dry_run=dry_run)


verbs.update.add_command(set_defaults)


@command(verbs.delete, "defaults")
@CLUSTER
@REGENERATE
@REPROCESS
@DRY_RUN
def delete_defaults(session: Session, cluster: bool, regenerate: bool, reprocess: bool, dry_run: bool) -> None:
    """Set defaults to nothing."""
    _set(session, cluster, "{}", regenerate=regenerate, reprocess=reprocess, dry_run=dry_run)


def _whose(session: Session, cluster: bool) -> str | None:
    """The project; None for the instance."""
    if cluster and session.project_said:
        raise click.UsageError("--cluster and --project exclude each other")
    if not cluster and not session.project_said:
        raise click.UsageError("must pass either --cluster or --project PROJECT")
    return None if cluster else session.project


def _set(session: Session, cluster: bool, text: str, *, regenerate: bool, reprocess: bool, dry_run: bool) -> None:
    project = _whose(session, cluster)
    affected = session.client.set_defaults(
        text, project, regenerate=regenerate or reprocess, reprocess=reprocess, dry_run=dry_run
    )
    for pipeline in affected:
        emit(names.shown_pipeline(pipeline))
    if not affected:
        emit("no affected pipelines")


def _read(source: str, *, of_cluster: bool) -> str:
    """The document of a file, as JSON. Raises Mistaken."""
    shown = sources.shown(source)
    mistakes: list[Mistake] = []
    found = values.documents(sources.load(source), shown, mistakes)
    if len(found) != 1:
        raise click.UsageError(f"there are {len(found)} documents in {shown}, and one is wanted")
    kind = pps.ClusterDefaults if of_cluster else pps.ProjectDefaults
    fields.look(found[0], kind.DESCRIPTOR, mistakes)
    if mistakes:
        raise Mistaken(shown, mistakes)
    return json.dumps(found[0].plain())
