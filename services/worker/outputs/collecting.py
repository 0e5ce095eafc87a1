"""Which files in /pfs/out count as output, and under which path.

Regular files count, and so does what links lead to; pipes, sockets, devices and empty folders do not. What cannot be
stored is the user's mistake and fails the datum, with the reason in the words clients know.
Elsewhere: how the bytes are stored (packing.py); two datums writing one path is PFS's to refuse.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from datamill.bulk.sending.stating import Blob
from datamill.wire import content_v1_pb2 as content
from services.worker.inputs.layout import LaidOut
from services.worker.inputs.scratch import Scratch
from services.worker.spec import RunAs

GLOB_CHARACTERS = frozenset("*?[]{}!()@+^")
REFUSED = "cannot upload file produced by the user code because its name cannot be represented in PFS"

TOO_DEEP = "cannot upload file produced by the user code: its folders are nested too deeply"


class BadOutput(Exception):
    """Output that cannot be stored, by the user code's doing."""


@dataclass(frozen=True, slots=True)
class Output:
    """A file to store. path: absolute, in the repo. Either `real`, where its bytes are, or `known` content."""

    path: str
    real: str
    known: Blob | content.Content | None = None


def collect(scratch: Scratch, laid: LaidOut, bare_inputs: frozenset[str]) -> Iterator[Output]:
    """The outputs of a datum, folder by folder. bare_inputs: names of inputs laid out without content (empty, lazy).

    Raises BadOutput.
    """
    stand_ins: dict[str, Blob | content.Content] = {}
    if bare_inputs:
        base = os.path.realpath(laid.place)
        stand_ins = {f"{base}/{name}{path}": what for name, path, what in laid.files if name in bare_inputs}
    try:
        yield from _Walk(scratch, stand_ins).folder(scratch.out, "", ())
    except RecursionError as error:
        raise BadOutput(TOO_DEEP) from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise BadOutput(TOO_DEEP) from error


def check_name(path: str) -> None:
    """Raises BadOutput unless the path can be stored."""
    if not (path.isascii() and path.isprintable()):
        raise BadOutput(f"{REFUSED}: path ({_shown(path)}) invalid: only printable ASCII characters allowed")
    for character in path:
        if character in GLOB_CHARACTERS:
            raise BadOutput(f"{REFUSED}: path ({path}) invalid: globbing character ({character}) not allowed in path")


def _shown(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Walk:
    def __init__(self, scratch: Scratch, stand_ins: dict[str, Blob | content.Content]) -> None:
        self._run_as = scratch.run_as
        self._out_as_seen = f"{scratch.root}/out"
        self._stand_ins = stand_ins

    def folder(self, real: str, path: str, above: tuple[str, ...]) -> Iterator[Output]:
        """above: real paths of the folders that a link led into on the way here."""
        for entry in sorted(_entries(real), key=lambda entry: entry.name):
            name = f"{path}/{entry.name}"
            if entry.is_file(follow_symlinks=False):
                check_name(name)
                yield self._file(entry.path, name) if above else Output(name, entry.path)
            elif entry.is_dir(follow_symlinks=False):
                yield from self.folder(entry.path, name, above)
            elif entry.is_symlink():
                yield from self._link(entry.path, name, above)
            elif entry.path in self._stand_ins:
                check_name(name)
                yield self._file(entry.path, name)

    def _target(self, link: str, path: str) -> str:
        """Where a link leads: from where it lies, or else from where user code sees it."""
        real = os.path.realpath(link)
        if os.path.lexists(real):
            return real
        textual = os.path.normpath(os.path.join(self._out_as_seen + os.path.dirname(path), os.readlink(link)))
        seen = os.path.realpath(textual)
        return seen if os.path.lexists(seen) else real

    def _link(self, link: str, path: str, above: tuple[str, ...]) -> Iterator[Output]:
        real = self._target(link, path)
        try:
            found = os.stat(real)
        except OSError as error:
            why = "does not exist" if error.errno == errno.ENOENT else (error.strerror or "cannot be read")
            raise BadOutput(
                f"cannot upload file produced by the user code: {_shown(path)} is a link to"
                f" {_shown(os.readlink(link))}, which {why}"
            ) from error
        if stat.S_ISDIR(found.st_mode):
            if real in above or os.path.realpath(os.path.dirname(link)).startswith((real + "/", real + "\0")):
                raise BadOutput(f"cannot upload file produced by the user code: {_shown(path)} is a link into a circle")
            yield from self.folder(real, path, (*above, real))
        elif stat.S_ISREG(found.st_mode) or real in self._stand_ins:
            check_name(path)
            yield self._file(real, path)

    def _file(self, real: str, path: str) -> Output:
        """A file that a link led to."""
        found = os.stat(real)
        bare = stat.S_ISFIFO(found.st_mode) or found.st_size == 0  # else user code wrote a file of its own there
        known = self._stand_ins.get(real) if bare else None
        if known is None and not _readable(found, self._run_as):
            raise BadOutput(
                f"cannot upload file produced by the user code: {path} is a link to {_shown(real)},"
                " which the user code may not read"
            )
        return Output(path, real, known)


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except PermissionError:
        try:
            os.chmod(folder, 0o700)  # user code may have closed its own folder; it is still ours to read
            with os.scandir(folder) as found:
                return list(found)
        except OSError as error:
            raise BadOutput(f"cannot upload file produced by the user code: {folder}: {error.strerror}") from error


def _readable(found: os.stat_result, run_as: RunAs | None) -> bool:
    """Whether the user may read it: the shim might be root, and a link must not show more than its maker can see."""
    if run_as is None or run_as.uid == 0:
        return True
    if found.st_uid == run_as.uid:
        return bool(found.st_mode & stat.S_IRUSR)
    return bool(found.st_mode & (stat.S_IRGRP if found.st_gid == run_as.gid else stat.S_IROTH))
