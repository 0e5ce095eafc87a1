"""What every command shares: where the server is, which project is meant, and the options that say so.

The address, first found: `--address`, DATAMILL_ADDRESS, the file `address` of the local instance (in DATAMILL_HOME or
~/.datamill), grpc://localhost:30650.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import update_wrapper
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click

from datamill import names
from datamill.cli import joining
from datamill.cli.meaning import nearest, to_do
from datamill.cli.output import Raw
from datamill.client import Client
from datamill.errors import NotFound
from datamill.names import DEFAULT_PROJECT
from datamill.transport import DEFAULT_ADDRESS
from datamill.wire import pps_v2_pb2 as pps

Function = TypeVar("Function", bound=Callable[..., Any])
T = TypeVar("T")
SHOWN = 5  # datums in a sentence


def home() -> Path:
    """The data directory of the local instance, unless a command is told another."""
    return Path(os.environ.get("DATAMILL_HOME") or Path.home() / ".datamill")


def address(given: str | None) -> str:
    """Where the server is."""
    if found := given or os.environ.get("DATAMILL_ADDRESS"):
        return found
    try:
        written = (home() / "address").read_text(encoding="utf-8").strip()
    except OSError:
        written = ""
    return written or DEFAULT_ADDRESS


class Unsuccessful(Exception):
    """What was waited for or needed ended badly. Its texts say what, a line each."""


class ReaderLeft(Exception):
    """Nobody reads the output any more. Not an OSError, which click would take for its own."""


class Session:
    """One run of the command line. Connects when a command first needs the server."""

    def __init__(self, address: str, project: str | None) -> None:
        """project: None when none was said."""
        self.address = address
        self.project = project or DEFAULT_PROJECT
        self.project_said = project is not None
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Connects at its first call; nobody there is an Unavailable within seconds."""
        if self._client is None:
            self._client = Client(self.address)
        return self._client

    def of_project(self, items: Iterable[T], everywhere: bool = False) -> Iterator[T]:
        """What is listed of the project; raises NotFound when there is nothing and no such project."""
        some = False
        for item in items:
            some = True
            yield item
        if not some and not everywhere:
            self.client.inspect_project(self.project)

    def job(self, text: str) -> pps.Job:
        """The job that PIPELINE@ID names, or PIPELINE@BRANCH: that of the branch's newest commit."""
        where, _, last = text.partition("@")
        if where and last and not names.is_id(last):
            text = f"{where}@{self.client.inspect_commit(names.commit(text, self.project)).commit.id}"
        return names.job(text, self.project)

    def datum(self, job: pps.Job, said: str, *, unfinished: bool = False) -> str:
        """The id of the datum of a job that is meant: by its ID, how that begins, or a path that it reads.

        unfinished: also one that the job has still to do. Raises Unsuccessful unless it is one.
        """
        if names.is_datum_id(said):
            return said
        shown = names.shown_job(job)
        found = _meant(self.client.list_datums(job), said)
        if not found and unfinished:
            found = _meant(to_do(self.client, job), said)
        if len(found) == 1:
            return found[0].datum.id
        if not found:
            raise Unsuccessful(f"no datum of {shown} is or reads {said}; `datamill list datum {shown}` shows them")
        some = ", ".join(info.datum.id[:12] for info in found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
        raise Unsuccessful(f"several datums of {shown} are or read {said}: {some}; say which")

    @contextmanager
    def joining(self, spoken: str) -> Iterator[None]:
        """Let a command join the active transaction, when there is one and it can."""
        id = joining.active(home(), self.address) if spoken in joining.COMMANDS else ""
        with joining.joined(self.client, id) if id else nullcontext():
            yield

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _meant(datums: Iterable[pps.DatumInfo], said: str) -> list[pps.DatumInfo]:
    """The first of those that may be meant, one more than is shown."""
    return list(islice((info for info in datums if _is_meant(info, said)), SHOWN + 1))


def _is_meant(info: pps.DatumInfo, said: str) -> bool:
    if said.startswith("/"):
        return any(file.file.path == said for file in info.data)
    return info.datum.id.startswith(said)


def command(group: click.Group, name: str) -> Callable[[Function], click.Command]:
    """Make a function a command of `group`; it gets the Session first. Adds --address and --project."""

    def made(function: Function) -> click.Command:
        def run(address_option: str | None, project_option: str | None, **given: Any) -> Any:
            before = click.get_current_context().find_root().params  # the same options, said before the verb
            project = project_option or before.get("project_option") or os.environ.get("DATAMILL_PROJECT")
            session = Session(address(address_option or before.get("address_option")), project)
            try:
                with session.joining(f"{group.name} {name}"):
                    return function(session, **given)
            except NotFound as error:
                if near := nearest(session.client, error.message):
                    error.add_note(near)
                raise
            except BrokenPipeError as error:
                raise ReaderLeft from error
            finally:
                session.close()

        update_wrapper(run, function)
        result: click.Command = group.command(name, help=function.__doc__)(with_where(run))
        return result

    return made


def with_where(function: Function) -> Function:
    """Add --address and --project."""
    shown = f"Where the server is. [default: DATAMILL_ADDRESS, the local instance, or {DEFAULT_ADDRESS}]"
    where = click.option("--address", "address_option", metavar="URL", help=shown)
    project = "The project of names that do not say one. [default: DATAMILL_PROJECT, or default]"
    which = click.option("--project", "project_option", metavar="NAME", help=project)
    return where(which(function))


def _with_raw(function: Function) -> Any:
    """Add --raw and --output; the function gets both as one Raw."""

    def run(*args: Any, raw: bool, output_option: str | None, **given: Any) -> Any:
        if output_option and not raw:
            raise click.UsageError("cannot set --output (-o) without --raw")
        return function(*args, raw=Raw(output_option or "json") if raw else Raw.NO, **given)

    update_wrapper(run, function)
    forms = click.Choice([Raw.JSON.value, Raw.YAML.value])
    run = click.option("-o", "--output", "output_option", type=forms, help="With --raw: in which form. [json]")(run)
    return click.option("--raw", is_flag=True, help="Print JSON, one object a line, or YAML.")(run)


RAW = _with_raw
EVERYWHERE = click.option("-A", "--all-projects", "everywhere", is_flag=True, help="Of every project.")
FORCE = click.option("-f", "--force", is_flag=True, help="Even when others derive from it.")
