"""Commands about the whole: `up`, `down`, `status`, `doctor` of a local instance, and `version`.

The instance itself belongs to the servers, which are installed on their own: they are looked for when needed.
"""

import importlib
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import click

from datamill.cli import verbs
from datamill.cli.output import Raw, emit
from datamill.cli.session import RAW, Session, Unsuccessful, command, home

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where everything is kept. [default: DATAMILL_HOME or ~/.datamill]",
)

DATABASE_URL = click.option(
    "--database-url",
    default="",
    envvar="DATAMILL_DATABASE_URL",
    metavar="URL",
    help="A PostgreSQL server, postgresql://USER:PASSWORD@HOST/DATABASE, instead of SQLite. [default: as before]",
)
STORE = click.option(
    "--store",
    default="",
    envvar="DATAMILL_STORE",
    metavar="URL",
    help="An S3 bucket, s3://HOST:PORT/BUCKET/PREFIX?region=R&secure=false, instead of a folder; credentials are taken "
    "from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. [default: as before]",
)


@verbs.root.command("up")
@DATA_DIR
@click.option(
    "--port", type=int, metavar="N", help="Where clients find it; 0: any free one. [default: as before, at first 30650]"
)
@click.option("--detach", is_flag=True, help="Come back once it is ready, and leave it running.")
@DATABASE_URL
@STORE
@click.option(
    "--listen",
    default="127.0.0.1",
    show_default=True,
    envvar="DATAMILL_LISTEN",
    metavar="ADDR",
    help="An address at which other machines reach it, too; 0.0.0.0: every one. There is no authentication yet.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    envvar="DATAMILL_ALLOW_ORIGIN",
    metavar="URL",
    help="Web pages of this origin may call it from a browser (gRPC-web); may be said more than once.",
)
def up(
    data_dir: Path | None,
    port: int | None,
    detach: bool,
    database_url: str,
    store: str,
    listen: str,
    origins: tuple[str, ...],
) -> Any:
    """Start a datamill on this machine."""
    found = servers()
    choices = {"listen": listen, "database_url": database_url, "store": store, "origins": origins}
    code = found.up(data_dir or home(), port, detach, **choices)
    if code == 0 and data_dir is not None and data_dir.absolute() != home().absolute():
        sys.stderr.write(f"datamill: other commands find it after `export DATAMILL_HOME={data_dir.absolute()}`\n")
    return code


@verbs.root.command("down")
@DATA_DIR
def down(data_dir: Path | None) -> Any:
    """Stop the datamill on this machine; everything is kept."""
    return servers().down(data_dir or home())


@verbs.root.command("status")
@DATA_DIR
def status(data_dir: Path | None) -> Any:
    """Show how the datamill on this machine is."""
    return servers().status(data_dir or home())


@verbs.root.command("doctor")
@DATA_DIR
def doctor(data_dir: Path | None) -> Any:
    """Look for what could be wrong with this machine or its datamill."""
    return servers().doctor(data_dir or home())


@command(verbs.root, "version")
@click.option("--client-only", is_flag=True, help="Do not ask the server.")
@RAW
def version(session: Session, client_only: bool, raw: Raw) -> None:
    """Show the versions of this client and of the server."""
    if not raw:
        emit(f"client  {client_version()}")
    if client_only:
        return
    found = session.client.version()
    if raw:
        raw.emit(found)
    else:
        emit(f"server  {found.major}.{found.minor}.{found.micro}{found.additional}")


def client_version() -> str:
    try:
        return installed("datamill")
    except PackageNotFoundError:
        return "from source"


def servers(module: str = "deploy.local.commands") -> Any:
    """What runs a local instance. Found by name: the client does not depend on the servers."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("deploy"):
            raise Unsuccessful(f"the servers are not installed in full: {error}; run `make setup`") from error
        raise Unsuccessful(
            "the servers are not installed with this client; clone datamill's repository and run `make setup`, "
            "or give the address of a running one with --address"
        ) from error
