"""Commands about projects."""

import click

from datamill.cli import verbs
from datamill.cli.output import Raw, listing, one, when
from datamill.cli.session import RAW, Session, command
from datamill.wire import pfs_v2_pb2 as pfs


@command(verbs.create, "project")
@click.argument("name")
@click.option("-d", "--description", default="", help="Free text.")
def create_project(session: Session, name: str, description: str) -> None:
    """Make a project."""
    session.client.create_project(name, description)


@command(verbs.update, "project")
@click.argument("name")
@click.option("-d", "--description", default="", help="The new text.")
def update_project(session: Session, name: str, description: str) -> None:
    """Change the description of a project."""
    session.client.create_project(name, description, update=True)


@command(verbs.inspect, "project")
@click.argument("name")
@RAW
def inspect_project(session: Session, name: str, raw: Raw) -> None:
    """Show a project."""
    one(session.client.inspect_project(name), _fields, raw=raw)


@command(verbs.list_, "project")
@RAW
def list_project(session: Session, raw: Raw) -> None:
    """List projects."""
    listing(
        session.client.list_projects(),
        ("PROJECT", "CREATED", "DESCRIPTION"),
        lambda info: (info.project.name, when(info.created_at), info.description),
        raw=raw,
    )


@command(verbs.delete, "project")
@click.argument("name")
@click.option("-f", "--force", is_flag=True, help="Together with its pipelines and repos.")
def delete_project(session: Session, name: str, force: bool) -> None:
    """Delete a project, which must hold no repos unless forced."""
    client = session.client
    if force:
        for pipeline in list(client.list_pipelines(projects=[name])):
            client.delete_pipeline(pipeline.pipeline, force=True)
        for repo in list(client.list_repos(projects=[name])):
            client.delete_repo(repo.repo, force=True)
    client.delete_project(name)


def _fields(info: pfs.ProjectInfo) -> list[tuple[str, str]]:
    return [
        ("Name", info.project.name),
        ("Description", info.description),
        ("Created", when(info.created_at)),
        ("Created by", info.created_by),
        *((f"Metadata {key}", value) for key, value in sorted(info.metadata.items())),
    ]
