"""`put file` and `get file`: bytes in and out, with a bar when somebody watches."""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import click

from datamill import names
from datamill.bulk import local
from datamill.bulk.local import LocalFile
from datamill.cli import verbs
from datamill.cli.commands.data.bars import transfer
from datamill.cli.reasons import refusals_told
from datamill.cli.session import Session, command
from datamill.methods.files import put_requests, url_requests
from datamill.methods.folders import literal
from datamill.wire import pfs_v2_pb2 as pfs

FEW = 16  # files that go in one plain stream
FEW_BYTES = 4 << 20


@command(verbs.put, "file")
@click.argument("target")
@click.option("-f", "--file", "sources", multiple=True, metavar="PATH|URL|-", help="What to write; repeatable. [-]")
@click.option("-r", "--recursive", is_flag=True, help="Write everything below a folder.")
@click.option("-a", "--append", is_flag=True, help="Add to a file that is there, instead of replacing it.")
@click.option("-i", "--input-file", metavar="LIST", help="A file, or -, that names what to write, one a line.")
@click.option("-p", "--parallelism", default=0, metavar="N", help="How many objects of a URL are read at once.")
@click.option("--allow-empty", is_flag=True, help="With -r, make a commit also when all files are there already.")
@click.option("--full-path", is_flag=True, help="Name files by their whole path, not by its last part alone.")
def put_file(
    session: Session,
    target: str,
    sources: tuple[str, ...],
    recursive: bool,
    append: bool,
    input_file: str | None,
    parallelism: int,
    allow_empty: bool,
    full_path: bool,
) -> None:
    """Write files to REPO@BRANCH[:/PATH]. On a branch without an open commit this makes one of its own, but for a
    folder (-r) of which nothing has changed.

    The server itself reads URLs: http(s)://…, s3://bucket/key, minio://… and, where it allows that, file:///…
    With -r, a URL stands for every object whose key begins with it.
    """
    sources += _listed(input_file)
    where = names.file(target, session.project, path="")
    path = target.partition(":")[2]
    if not sources or sources == ("-",):
        if not path or path.endswith("/"):
            raise click.UsageError("standard input has no name: say a path, REPO@BRANCH:/PATH")
        with refusals_told(session.client, where.commit):
            session.client.put(where, sys.stdin.buffer, append=append)
        return
    if any("://" in source for source in sources):
        with refusals_told(session.client, where.commit):
            _put_urls(session, where, path, sources, recursive, append, parallelism, full_path)
        return
    chosen = _Chosen(sources, path, recursive, full_path)
    first = list(islice(chosen, FEW + 1))  # what is wrong with the first ones is said before anybody is asked
    with refusals_told(session.client, where.commit):
        if append or (not recursive and _is_little(first)):
            changes = (part for one in chosen for part in put_requests("/" + one.path, Path(one.source), append=append))
            session.client.modify(where.commit, changes)
        elif not _put_local(session, where, chosen, allow_empty or not recursive):
            click.echo(f"nothing changed: {target.partition(':')[0]} holds all of it", err=True)


def _is_little(files: list[LocalFile]) -> bool:
    """Whether one stream is the shortest way for them."""
    return len(files) <= FEW and sum(os.stat(one.source).st_size for one in files) <= FEW_BYTES


def _put_local(session: Session, where: pfs.File, chosen: "_Chosen", unchanged: bool) -> bool:
    """Write files by the way for folders. False: there was nothing new, and no commit was made."""
    with transfer("writing", files=chosen) as progress:
        root = pfs.File(commit=where.commit, path="/")
        put = session.client.put_local(chosen, root, source=chosen.name, progress=progress, unchanged=unchanged)
        return put.commit is not None


@command(verbs.get, "file")
@click.argument("source")
@click.option("-r", "--recursive", is_flag=True, help="Everything below a directory.")
@click.option(
    "-o", "--output", metavar="PATH|URL", help="Where to write; a file, or with -r a folder or URL. [standard output]"
)
@click.option("--offset", default=0, metavar="BYTES", help="Skip so many bytes.")
def get_file(session: Session, source: str, recursive: bool, output: str | None, offset: int) -> None:
    """Read REPO@REF:/PATH.

    The server itself writes to URLs, each file below them by its path: s3://bucket/prefix, minio://… and, where it
    allows that, file:///… A path may be a glob then, as well as a directory.
    """
    client = session.client
    if output is not None and "://" in output:
        client.get_to_url(names.file(source, session.project, path="/"), output)
        return
    if recursive:
        if output in (None, "-"):
            raise click.UsageError("with -r, say which folder to write to with -o")
        assert output is not None
        wanted = names.file(source, session.project, path="/")
        info = client.inspect_file(wanted)
        with transfer("reading", info.size_bytes) as progress:
            client.get_folder(wanted, output, progress=progress)
        return
    wanted = names.file(source, session.project)
    pieces = client.chunks(wanted, offset=offset)
    if output in (None, "-"):
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    assert output is not None
    target = Path(output) / PurePosixPath(wanted.path).name if os.path.isdir(output) else Path(output)
    found = client.inspect_file(wanted) if literal(wanted.path) == wanted.path else None
    if found is not None and found.file_type == pfs.FileType.FILE and not offset:
        with transfer("reading", found.size_bytes) as progress:
            if client.get_straight(wanted, target, progress=progress):
                return
    _save(pieces, target, found.size_bytes - offset if found else None)


def _save(pieces: Iterator[bytes], target: Path, size: int | None) -> None:
    """Write a file whole or not at all: what was there stays until the last byte has come."""
    partial = target.with_name(f".{target.name}.part{os.getpid()}")
    try:
        with transfer("reading", size) as progress, open(partial, "wb") as file:
            for piece in pieces:
                file.write(piece)
                progress(0, len(piece))
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _listed(input_file: str | None) -> tuple[str, ...]:
    """The sources that a list names; lines that are empty or begin with # name none."""
    if input_file is None:
        return ()
    if input_file != "-" and not os.path.isfile(input_file):
        raise click.UsageError(f"there is no file {input_file}")
    text = sys.stdin.read() if input_file == "-" else Path(input_file).read_text()
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


@dataclass(frozen=True)
class _Chosen:
    """Local files with the paths they get, as often as they are asked for."""

    sources: tuple[str, ...]
    path: str
    recursive: bool
    full_path: bool

    @property
    def name(self) -> str:
        return "\n".join(map(os.path.realpath, self.sources))

    def __iter__(self) -> Iterator[LocalFile]:
        return _named(self.sources, self.path, self.recursive, self.full_path, several=len(self.sources) > 1)


def _named(
    sources: Iterable[str], path: str, recursive: bool, full_path: bool, *, several: bool
) -> Iterator[LocalFile]:
    """Local files with the paths they get, without the leading slash."""
    for source in sources:
        if os.path.isdir(source):
            if not recursive:
                raise click.UsageError(f"{source} is a folder: use -r to write all that is in it")
            top = path.strip("/")
            yield from local.walk(Path(source), f"{top}/" if top else "")
            continue
        if not os.path.exists(source):
            raise click.UsageError(f"there is no file {source}")
        name = source.strip("/") if full_path else os.path.basename(source)
        yield LocalFile(_target(path, name, several=several or full_path), source)


def _target(path: str, name: str, *, several: bool) -> str:
    """Where one source goes: a path that ends in / or takes several sources is a directory."""
    if not path.strip("/") or path.endswith("/") or several:
        return f"{path.strip('/')}/{name}".lstrip("/")
    return path.strip("/")


def _put_urls(
    session: Session,
    where: pfs.File,
    path: str,
    sources: tuple[str, ...],
    recursive: bool,
    append: bool,
    parallelism: int,
    full_path: bool,
) -> None:
    """Have the server fetch the files itself; local ones may be among them."""

    several = len(sources) > 1

    def changes() -> Iterator[pfs.ModifyFileRequest]:
        for source in sources:
            if "://" not in source:
                for one in _named([source], path, recursive, full_path, several=several):
                    yield from put_requests("/" + one.path, Path(one.source), append=append)
                continue
            whole = source.split("?", 1)[0].partition("://")[2].rstrip("/")
            name = whole if full_path else whole.rpartition("/")[2]
            target = "/" + (path.strip("/") if recursive else _target(path, name, several=several or full_path))
            yield from url_requests(target, source, append, recursive=recursive, concurrency=parallelism)

    session.client.modify(where.commit, changes())
