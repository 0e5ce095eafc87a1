"""Commands about secrets: values for user code, which are given once and never shown."""

import sys
from pathlib import Path
from typing import Any

import click

from datamill.cli import verbs
from datamill.cli.output import Raw, listing, one, when
from datamill.cli.session import RAW, Session, command
from datamill.cli.specs import sources, values
from datamill.cli.specs.mistakes import Mistake, Mistaken
from datamill.errors import Invalid
from datamill.wire import pps_v2_pb2 as pps


@command(verbs.create, "secret")
@click.argument("name", required=False)
@click.option("-f", "--file", "source", metavar="PATH|URL|-", help="A Kubernetes Secret, as JSON or YAML.")
@click.option(
    "--from-file", "files", multiple=True, metavar="KEY=PATH|-", help="A value, with NAME: what the file holds."
)
def create_secret(session: Session, name: str | None, source: str | None, files: tuple[str, ...]) -> None:
    """Keep a secret for pipelines: a file as Kubernetes has them, or NAME with values from files of their own.

    Values are not taken from the command line itself, which others on the machine can read.
    """
    if (name is None) == bool(files) or (source is None) != bool(files):
        raise click.UsageError("give either NAME and --from-file KEY=PATH, or --file")
    if name is not None:
        session.client.create_secret(name, dict(_value(text) for text in files))
        return
    assert source is not None
    session.client.create_secret_from(_document(source))


@command(verbs.list_, "secret")
@RAW
def list_secret(session: Session, raw: Raw) -> None:
    """List secrets; their values are not shown."""
    listing(session.client.list_secrets(), ("NAME", "TYPE", "CREATED"), _row, raw=raw)


@command(verbs.inspect, "secret")
@click.argument("name")
@RAW
def inspect_secret(session: Session, name: str, raw: Raw) -> None:
    """Show what is known of a secret; never its values."""
    found = session.client.inspect_secret(name)
    one(found, lambda info: zip(("Name", "Type", "Created"), _row(info), strict=True), raw=raw)


@command(verbs.delete, "secret")
@click.argument("name")
def delete_secret(session: Session, name: str) -> None:
    """Delete a secret. Pipelines that use it cannot start workers any more."""
    session.client.delete_secret(name)


def _row(info: pps.SecretInfo) -> tuple[str, str, str]:
    return info.secret.name, info.type, when(info.creation_timestamp)


def _value(text: str) -> tuple[str, bytes]:
    key, equals, path = text.partition("=")
    if not key or not equals or not path:
        raise click.UsageError(f"{text!r}: write KEY=PATH, or KEY=- for standard input")
    return key, sys.stdin.buffer.read() if path == sources.STANDARD_INPUT else Path(path).read_bytes()


def _document(source: str) -> dict[str, Any]:
    """The one object of a file. Its values are part of no message."""
    shown = sources.shown(source)
    mistakes: list[Mistake] = []
    try:
        found = values.documents(sources.load(source), shown, mistakes)
    except Mistaken as error:
        lines = ", ".join(line.split(": ", 1)[0] for line in error.lines)
        raise Invalid(f"{lines}: neither JSON nor YAML") from None
    if mistakes:
        raise Invalid(f"{shown}:{mistakes[0].line}: neither a text nor a plain number")
    document = found[0].plain() if len(found) == 1 else None
    if not isinstance(document, dict):
        raise Invalid(f"{shown}: one secret is wanted, an object with `metadata` and `data` or `stringData`")
    return document
