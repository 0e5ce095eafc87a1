"""Commands that take the specs of pipelines: from files, from templates, or from an editor."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.output import as_yaml, emit
from datamill.cli.session import Session, Unsuccessful, command
from datamill.cli.specs import reading, sources
from datamill.cli.specs.reading import Read
from datamill.errors import DatamillError, Failed, Invalid

SPEC = click.option("-f", "--file", "source", metavar="PATH|URL|-", help="JSON or YAML. [standard input]")
JSONNET = click.option("--jsonnet", "template", metavar="PATH|URL|-", help="A template of specs, instead of --file.")
ARGUMENTS = click.option("--arg", "arguments", multiple=True, metavar="NAME=TEXT", help="For --jsonnet; repeatable.")
REPROCESS = click.option("--reprocess", is_flag=True, help="Run every datum again, not only new ones.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Print the spec with defaults merged in; change nothing.")
EDITORS = ("vim", "vi", "nano")
FORM = click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), help="How --dry-run prints. [json]")


@command(verbs.create, "pipeline")
@SPEC
@JSONNET
@ARGUMENTS
@DRY_RUN
@FORM
def create_pipeline(
    session: Session,
    source: str | None,
    template: str | None,
    arguments: tuple[str, ...],
    dry_run: bool,
    form: str | None,
) -> None:
    """Make the pipelines of a spec file, or of a jsonnet template."""
    wanted = _wanted(session, source, template, arguments)
    _apply(session, wanted, update=False, reprocess=False, dry_run=dry_run, form=form)


@command(verbs.update, "pipeline")
@SPEC
@JSONNET
@ARGUMENTS
@REPROCESS
@DRY_RUN
@FORM
def update_pipeline(
    session: Session,
    source: str | None,
    template: str | None,
    arguments: tuple[str, ...],
    reprocess: bool,
    dry_run: bool,
    form: str | None,
) -> None:
    """Replace the pipelines of a spec file, or make those that do not exist. Datums that were done stay done, even when
    the code has changed: --reprocess runs them again."""
    wanted = _wanted(session, source, template, arguments)
    _apply(session, wanted, update=True, reprocess=reprocess, dry_run=dry_run, form=form)


@command(verbs.validate, "pipeline")
@SPEC
def validate_pipeline(session: Session, source: str | None) -> None:
    """Check the form of a spec file, without a server. Every mistake is told with its line."""
    _read(session, source or sources.STANDARD_INPUT)


@command(verbs.edit, "pipeline")
@click.argument("pipeline")
@click.option("--editor", metavar="PROGRAM", help="What to edit with. [default: VISUAL, EDITOR, or vim, vi, nano]")
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), default="json", help="How to write it.")
@REPROCESS
def edit_pipeline(session: Session, pipeline: str, editor: str | None, form: str, reprocess: bool) -> None:
    """Change a pipeline's spec in an editor, as it was given, without defaults."""
    wanted = names.pipeline(pipeline, session.project)
    info = session.client.inspect_pipeline(wanted)
    before = reading.read(info.user_spec_json, project=info.pipeline.project.name, source=pipeline)[0].spec
    suffix = ".yaml" if form == "yaml" else ".json"
    text = as_yaml(before) if form == "yaml" else json.dumps(before, indent=2, ensure_ascii=False) + "\n"
    with tempfile.NamedTemporaryFile("w", prefix=f"{wanted.name}-", suffix=suffix, delete=False) as file:
        file.write(text)
    try:
        edited = _edited(editor, file.name, before["pipeline"])
        if edited.spec == before and not (reprocess or edited.reprocess):
            sys.stderr.write(f"{names.shown_pipeline(info.pipeline)} is unchanged: no update\n")
        else:
            _apply(session, [edited], update=True, reprocess=reprocess, dry_run=False, form=form)
    except (DatamillError, Unsuccessful):
        if Path(file.name).read_text(encoding="utf-8") != text:
            sys.stderr.write(f"datamill: what you wrote is kept in {file.name}\n")
            raise
        Path(file.name).unlink()
        raise
    Path(file.name).unlink()


def _edited(editor: str | None, path: str, before: dict[str, object]) -> Read:
    program = editor or os.environ.get("VISUAL") or os.environ.get("EDITOR") or _first_editor()
    try:
        done = subprocess.run([*shlex.split(program), path], check=False).returncode
    except OSError as error:
        raise Unsuccessful(f"cannot start the editor {program}: {error.strerror}; say another with --editor") from error
    if done != 0:
        raise Unsuccessful(f"the editor {program} ended with {done}: no update")
    found = reading.read(sources.load(path), project=_project(before), source=path)
    if len(found) != 1 or found[0].name != before["name"]:
        raise Unsuccessful("may not change pipeline name")
    if _project(found[0].spec["pipeline"]) != _project(before):
        raise Unsuccessful("may not change project name")
    return found[0]


def _first_editor() -> str:
    return next(filter(shutil.which, EDITORS), EDITORS[0])


def _project(pipeline: dict[str, object]) -> str:
    project = pipeline.get("project")
    return str(project.get("name")) if isinstance(project, dict) else names.DEFAULT_PROJECT


def _wanted(session: Session, source: str | None, template: str | None, arguments: Iterable[str]) -> list[Read]:
    if source is not None and template is not None:
        raise click.UsageError("cannot set both --file and --jsonnet; exactly one must be set")
    given = dict(_argument(one) for one in arguments)
    if template is None:
        if given:
            raise click.UsageError("--arg is for a template: --jsonnet says which")
        return _read(session, source or sources.STANDARD_INPUT)
    rendered = session.client.render_template(sources.load(template), given)
    return _some(reading.read(rendered, project=session.project, source=f"{template}, rendered"), template)


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"invalid template argument {text!r}: write NAME=TEXT")
    return name, value


def _read(session: Session, source: str) -> list[Read]:
    """The specs of a file. Raises Mistaken."""
    shown = sources.shown(source)
    return _some(reading.read(sources.load(source), project=session.project, source=shown), shown)


def _some(found: list[Read], source: str) -> list[Read]:
    if not found:
        raise click.UsageError(f"there is no pipeline spec in {source}")
    return found


def _apply(
    session: Session, wanted: list[Read], *, update: bool, reprocess: bool, dry_run: bool, form: str | None
) -> None:
    """Create every spec of a file. What the file says about update, reprocess or dryRun goes before the flags."""
    made: list[str] = []
    for read in wanted:
        dry = dry_run if read.dry_run is None else read.dry_run
        try:
            merged = session.client.create_pipeline(
                json.dumps(read.spec),
                update=update if read.update is None else read.update,
                reprocess=reprocess if read.reprocess is None else read.reprocess,
                dry_run=dry,
            )
        except DatamillError as error:
            if len(wanted) > 1:
                done = f"{', '.join(made)} {'is' if len(made) == 1 else 'are'} done, " if made else ""
                sys.stderr.write(f"datamill: {done}{read.name} is refused, and what follows it was not tried:\n")
            texts = error.message.split("\n")
            if (
                isinstance(error, (Invalid, Failed)) and len(texts) > 1 and "(id=0" not in error.message
            ):  # all that is wrong with it
                raise Unsuccessful(*(f"{read.name}: {text}" for text in texts)) from error
            raise
        made += [] if dry else [read.name]
        for text in reading.warnings(read.spec):  # a spec that is refused has worse trouble
            sys.stderr.write(f"WARNING: {text}\n")
        if dry:
            emit("---\n" + as_yaml(json.loads(merged)).rstrip("\n") if form == "yaml" else merged)
