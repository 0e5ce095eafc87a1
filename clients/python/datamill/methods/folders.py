"""Whole folders in and out, by the shortest way that the server and this machine allow.

In: packs straight to the store (bulk/sending/) when the server has a content service and blake3 is installed, else one
stream through the service. Out: straight from the packs (bulk/fetching/) when this machine reaches the store, else
one tar stream, unpacked here.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from datamill import names
from datamill.bulk import local, store
from datamill.bulk.sending.aims import Aim
from datamill.errors import Failed, Invalid, NotFound, Unsupported
from datamill.methods.commits import Commits
from datamill.methods.files import Files, put_requests
from datamill.methods.repos import Repos
from datamill.wire import pfs_v2_pb2 as pfs

Progress = Callable[[int, int], None]
"""Called as progress(files, bytes) with what was done since the last call; possibly from another thread."""


def unseen(_files: int, _bytes: int) -> None:
    """The progress of somebody who does not watch."""


@dataclass(frozen=True)
class Put:
    """What came of writing local files: how many there were, and the commit that they are in; None: none was made."""

    files: int
    commit: pfs.Commit | None


class Folders(Repos, Commits, Files):
    """Methods about folders."""

    def put_folder(self, folder: str | Path, to: str | pfs.File, *, progress: Progress = unseen) -> int:
        """Write every file of a local folder below `repo@branch:/path`, as one commit unless one is open there.

        Files that were there are replaced, others stay. Returns how many were written; all of them or none.
        """
        source = os.path.realpath(folder)
        return self.put_local(local.Folder(Path(folder)), to, source=source, progress=progress).files

    def put_local(
        self,
        files: Iterable[local.LocalFile],
        to: str | pfs.File,
        *,
        source: str = "",
        progress: Progress = unseen,
        unchanged: bool = True,
    ) -> Put:
        """The same for chosen files.

        unchanged: make a commit although the branch holds all of them already, as far as that can be told.
        source: names them as a whole, so that next time only what changed is read; `files` must then be such that it
        can be gone through twice.
        """
        where = names.file(to, path="/")
        opened, held = self._target(where.commit)
        aim = Aim(where.path.rstrip("/") + "/", _branch_name(where.commit.branch), source, held if source else None)
        tally = _Tally(progress)
        try:
            sets = self._file_sets(files, aim, tally)
        except Invalid:
            if not source:
                raise
            tally = _Tally(progress)  # what was remembered is gone: nothing is left out then
            sets = self._file_sets(files, replace(aim, source="", held=None), tally)
        if not (unchanged or sets or opened or aim.held is None):
            return Put(tally.files, None)
        commit = opened or self.start_commit(where.commit.branch)
        try:
            if aim.held is not None and self.inspect_commit(commit).parent_commit.id != aim.held.id:
                tally = _Tally(unseen)  # another commit came in between: nothing may be left out on account of `held`
                sets = self._file_sets(files, replace(aim, held=None), tally)
            for one in sets:
                self.add_file_set(commit, one)
        except BaseException as error:
            if opened is None:
                self.finish_commit(commit, error=f"{type(error).__name__}: {error}")
            raise
        if opened is None:
            self.finish_commit(commit)
        return Put(tally.files, commit)

    def get_folder(self, source: str | pfs.File, folder: str | Path, *, progress: Progress = unseen) -> int:
        """Write what lies below `repo@ref:/path` into a local folder; a single file goes into it by its name.

        Files that were there are replaced. Returns how many were written. Raises FileMissing.
        """
        where = names.file(source, path="/")
        info = self.inspect_file(where)
        path = PurePosixPath(info.file.path)
        below = path if info.file_type == pfs.FileType.DIR else path.parent
        Path(folder).mkdir(parents=True, exist_ok=True)
        found = self._straight(where, (Path(folder), str(below)), progress)
        if found is not None:
            return found
        unpacking: Any = importlib.import_module("datamill.bulk.fetching.unpacking")
        pieces = self.get_tar(pfs.File(commit=where.commit, path=literal(where.path)))
        return int(unpacking.unpack(pieces, Path(folder), below=str(below), seen=lambda size: progress(0, size)))

    def get_straight(self, source: str | pfs.File, target: Path, *, progress: Progress = unseen) -> bool:
        """Write one file straight from the store, where that is a way; says whether it was. Raises FileMissing."""
        return self._straight(names.file(source), target, progress) is not None

    def _target(self, ref: pfs.Commit) -> tuple[pfs.Commit | None, pfs.Commit | None]:
        """The open commit that `ref` means, or None when a new one is to be made on its branch; and then the finished
        commit whose files that will begin with, if it is known."""
        try:
            info = self.inspect_commit(ref)
        except NotFound:
            if ref.id:
                raise
            self.inspect_repo(ref.branch.repo)  # say now that it is missing, not after the upload
            return None, None
        if not info.HasField("finishing"):
            return info.commit, None
        if ref.id:
            raise Failed(f"commit {names.shown_commit(info.commit)} has already finished")
        return None, None if info.error or not info.HasField("finished") else info.commit

    def _file_sets(self, files: Iterable[local.LocalFile], aim: Aim, progress: Progress) -> list[str]:
        if importlib.util.find_spec("blake3"):
            upload: Any = importlib.import_module("datamill.bulk.sending.upload")
            try:
                packed, files = upload.file_set(self, files, aim, progress)
            except Unsupported:  # a server without a content service; nothing has been read yet
                return [self._streamed(files, aim.top, progress)]
            return ([packed] if packed else []) + ([self._streamed(files, aim.top, progress)] if files else [])
        return [self._streamed(files, aim.top, progress)]

    def _straight(self, where: pfs.File, to: Path | tuple[Path, str], progress: Progress) -> int | None:
        """How many files were read straight from the store; None when that is no way.

        to: for one file, its path; else a folder, and the directory of the commit that it stands for.
        """
        if not importlib.util.find_spec("blake3"):
            return None
        download: Any = importlib.import_module("datamill.bulk.fetching.download")
        places: Any = importlib.import_module("datamill.bulk.fetching.places")
        reading: Any = importlib.import_module("datamill.bulk.fetching.reading")
        try:
            reach = store.reach(self)
        except Unsupported:
            return None
        place = places.below(*to) if isinstance(to, tuple) else lambda _path: os.path.abspath(to)
        try:
            return int(download.fetch(self, where, reach, place, progress))
        except (Unsupported, reading.NotPlain):
            return None
        finally:
            reach.close()

    def _streamed(self, files: Iterable[local.LocalFile], top: str, progress: Progress) -> str:
        def changes() -> Iterator[pfs.ModifyFileRequest]:
            for file in files:
                yield from put_requests(top + file.path, Path(file.source), append=False)
                progress(1, Path(file.source).stat().st_size)

        return self.create_file_set(changes())


class _Tally:
    """Counts files on their way to whoever watches."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.files = 0

    def __call__(self, files: int, size: int) -> None:
        self.files += files
        self._progress(files, size)


def _branch_name(branch: pfs.Branch) -> str:
    repo = branch.repo
    return f"{repo.project.name}/{repo.name}.{repo.type}@{branch.name}"


def literal(path: str) -> str:
    """A path as a glob that matches only itself; paths hold no globbing characters but the backslash."""
    return path.replace("\\", "\\\\")
