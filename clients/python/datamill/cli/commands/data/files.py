"""Commands that look at files, or change them without moving bytes. Elsewhere: put and get (transfers.py)."""

import difflib
from collections.abc import Iterable, Iterator

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.output import Raw, emit, listing, one, size, when
from datamill.cli.reasons import refusals_told
from datamill.cli.session import RAW, Session, command
from datamill.client import Client
from datamill.errors import DatamillError, FileMissing, NotFound
from datamill.wire import pfs_v2_pb2 as pfs

HEADERS = ("NAME", "TYPE", "SIZE", "COMMITTED")
COMPARED_BYTES = 1 << 20  # bigger files are only said to differ


@command(verbs.inspect, "file")
@click.argument("file")
@RAW
def inspect_file(session: Session, file: str, raw: Raw) -> None:
    """Show a file or directory, REPO@REF:/PATH."""
    one(session.client.inspect_file(names.file(file, session.project, path="/")), _fields, raw=raw)


@command(verbs.list_, "file")
@click.argument("directory")
@click.option("-r", "--recursive", is_flag=True, help="Everything below, not only what lies directly in it.")
@RAW
def list_file(session: Session, directory: str, recursive: bool, raw: Raw) -> None:
    """List the directory REPO@REF[:/PATH]."""
    wanted = names.file(directory, session.project, path="/")
    found = session.client.walk_files(wanted) if recursive else session.client.list_files(wanted)
    if wanted.path.strip("/"):
        found = _some(found, wanted)
    listing(_or_said(found, directory), HEADERS, _row, raw=raw)


def _some(found: Iterable[pfs.FileInfo], where: pfs.File) -> Iterator[pfs.FileInfo]:
    """The files below a path. Raises FileMissing when there are none: no directory is empty."""
    some = False
    for info in found:
        some = True
        yield info
    if not some:
        raise FileMissing(f"file {where.path} not found in {names.shown_commit(where.commit)}")


def _or_said(found: Iterable[pfs.FileInfo], where: str) -> Iterator[pfs.FileInfo]:
    """The files; a word on stderr when there are none, as a mistyped pattern gives."""
    some = False
    for info in found:
        some = True
        yield info
    if not some:
        click.echo(f"nothing at {where}", err=True)


@command(verbs.glob, "file")
@click.argument("pattern")
@RAW
def glob_file(session: Session, pattern: str, raw: Raw) -> None:
    """List what matches REPO@REF:/PATTERN, for example 'images@master:/**.png'.

    \b
    *  **       any run of characters without /, and with /
    ?  [a-z]    one character; [!a-z] one that is not among these
    {a,b}       one of several
    (a|b)       the same, captured: a pipeline's joinOn and groupBy call it $1;
                ?(a|b) *(a|b) +(a|b) at most one, any number, one or more
    !(a|b)      anything else
    \\c          the character c itself
    """
    found = session.client.glob_files(names.file(pattern, session.project))
    listing(_or_said(found, pattern), HEADERS, _row, raw=raw)


@command(verbs.delete, "file")
@click.argument("file")
@click.option("-r", "--recursive", is_flag=True, help="Everything below the path.")
def delete_file(session: Session, file: str, recursive: bool) -> None:
    """Delete REPO@BRANCH:/PATH."""
    where = names.file(file, session.project)
    kind = _kind(session.client, where)
    if not recursive and kind == pfs.FileType.DIR:
        raise click.ClickException(f"{file} is a directory. Use -r to delete everything below it")
    with refusals_told(session.client, where.commit):
        session.client.delete_file(where, recursive=recursive)


@command(verbs.copy, "file")
@click.argument("source")
@click.argument("target")
@click.option("-a", "--append", is_flag=True, help="Add to files at the target instead of replacing them.")
def copy_file(session: Session, source: str, target: str, append: bool) -> None:
    """Copy SOURCE (REPO@REF:/PATH) to TARGET (REPO@BRANCH:/PATH) within the server."""
    here, there = names.file(source, session.project), names.file(target, session.project)
    session.client.inspect_file(here)  # the server takes a copy of nothing for no change
    with refusals_told(session.client, there.commit):
        session.client.copy_file(here, there, append=append)


@command(verbs.diff, "file")
@click.argument("new")
@click.argument("old", required=False)
@click.option("--name-only", is_flag=True, help="Say which files differ, and not how.")
@RAW
def diff_file(session: Session, new: str, old: str | None, name_only: bool, raw: Raw) -> None:
    """Compare NEW (REPO@REF[:/PATH]) with OLD, or with its parent commit."""
    later = names.file(new, session.project, path="/")
    earlier = None if old is None else names.file(old, session.project, path="/")
    client = session.client
    changes = client.diff_files(later, earlier)
    if raw:
        listing(changes, (), lambda _: (), raw=raw)
        return
    changed = (item for item in changes if not _is_directory(item))
    if name_only:
        listing(changed, ("CHANGE", "FILE", "SIZE"), _change_row, raw=Raw.NO)
        return
    parent = earlier.commit if earlier is not None else client.inspect_commit(later.commit).parent_commit
    for item in changed:
        _show_difference(client, item, later.commit, parent)


def _row(info: pfs.FileInfo) -> tuple[str, ...]:
    directory = info.file_type == pfs.FileType.DIR
    return (info.file.path, "dir" if directory else "file", size(info.size_bytes), when(info.committed))


def _fields(info: pfs.FileInfo) -> list[tuple[str, str]]:
    return [
        ("Path", info.file.path),
        ("Type", "directory" if info.file_type == pfs.FileType.DIR else "file"),
        ("Size", f"{size(info.size_bytes)} ({info.size_bytes} bytes)"),
        ("Datum", info.file.datum),
        ("Hash", info.hash.hex()),
        ("Committed", when(info.committed) if info.HasField("committed") else ""),
    ]


def _kind(client: Client, where: pfs.File) -> pfs.FileType.ValueType | None:
    """What there is at a path. None where nobody can tell, as in a commit that is no good: deleting a file may be what
    mends it. Raises NotFound."""
    try:
        return client.inspect_file(where).file_type
    except NotFound:
        raise
    except DatamillError:
        return None


def _is_directory(item: pfs.DiffFileResponse) -> bool:
    info = item.new_file if item.HasField("new_file") else item.old_file
    return info.file_type == pfs.FileType.DIR


def _change_row(item: pfs.DiffFileResponse) -> tuple[str, ...]:
    if not item.HasField("old_file"):
        return ("added", item.new_file.file.path, size(item.new_file.size_bytes))
    if not item.HasField("new_file"):
        return ("deleted", item.old_file.file.path, size(item.old_file.size_bytes))
    return ("changed", item.new_file.file.path, size(item.new_file.size_bytes))


def _show_difference(client: Client, item: pfs.DiffFileResponse, new: pfs.Commit, old: pfs.Commit) -> None:
    """One file's difference in the unified form, or one line when it is not text."""
    before = _lines(client, item.old_file, old) if item.HasField("old_file") else []
    after = _lines(client, item.new_file, new) if item.HasField("new_file") else []
    change, path, length = _change_row(item)
    if before is None or after is None:
        emit(f"{change} {path} ({length})")
        return
    names_of = ("/dev/null" if not item.HasField("old_file") else f"a{path}", f"b{path}")
    if not item.HasField("new_file"):
        names_of = (f"a{path}", "/dev/null")
    shown = list(difflib.unified_diff(before, after, *names_of, lineterm=""))
    for line in shown or [f"{change} {path} ({length})"]:
        emit(line)


def _lines(client: Client, info: pfs.FileInfo, commit: pfs.Commit) -> list[str] | None:
    """The lines of a text file; None when it is long or not text."""
    if info.size_bytes > COMPARED_BYTES:
        return None
    data = client.get(pfs.File(commit=commit, path=info.file.path))
    try:
        return None if b"\0" in data else data.decode().splitlines()
    except UnicodeDecodeError:
        return None
