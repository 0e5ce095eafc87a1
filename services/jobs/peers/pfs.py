"""What Jobs asks of PFS, in its own words.

Calls that users wait for are patient with a peer that is just starting again: they wait for it until their deadline.
"""

import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import grpc

from datamill.wire import commits_v1_pb2 as commits
from datamill.wire import commits_v1_pb2_grpc as commits_grpc
from datamill.wire import content_v1_pb2 as content
from datamill.wire import content_v1_pb2_grpc as content_grpc
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import trees_v1_pb2 as trees
from datamill.wire import trees_v1_pb2_grpc as trees_grpc
from services.jobs.domain.errors import CommitGone, InputRefused
from services.kit.rpc.server import FINISHED_HEADER, PROBLEM_HEADER
from services.kit.time.times import time_of

log = logging.getLogger(__name__)
ENTRIES_A_MESSAGE = 2000
EGRESS_SECONDS = 7 * 24 * 3600.0  # as long as it takes: whoever stops the job ends the call
WAIT_SECONDS = 15.0  # then it is asked again: a wait must not hang on one lost wake-up
FINISHED_ALREADY = "has already finished"
FINAL_CODES = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INVALID_ARGUMENT)  # when a service says them, not the network
FILE_SET_GONE = ("path does not exist", "parsing fileset.Token")  # the second: it is none, and never was


class FileSetGone(Exception):
    """A file set has run out, or PFS never had it."""


@dataclass(frozen=True, slots=True)
class CommitRef:
    """A commit by the id of its set."""

    project: str
    repo: str
    type: str
    id: str

    def wire(self) -> pfs.Commit:
        return pfs.Commit(repo=self.wire_repo(), id=self.id)

    def wire_repo(self) -> pfs.Repo:
        return pfs.Repo(name=self.repo, type=self.type, project=pfs.Project(name=self.project))


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """What Jobs wants to know of a commit."""

    ref: CommitRef
    branch: str
    auto: bool
    open: bool
    """Not closed for writing."""
    finished: bool
    error: str
    parent: CommitRef | None
    spec_commits: tuple[str, ...]
    """Ids of the spec commits among what it was made from."""
    made_from: tuple[CommitRef, ...] = ()
    started: datetime | None = None
    closed: datetime | None = None
    """When writing ended."""


class Match(NamedTuple):
    """A file or directory that a glob matched."""

    path: str
    size_bytes: int
    digest: bytes
    captures: tuple[str, ...]


@dataclass(frozen=True)
class Pfs:
    """The file service."""

    channel: grpc.aio.Channel

    async def commit(self, ref: CommitRef, *, finished: bool = False) -> CommitFacts:
        """One commit; with `finished` it is waited for. Raises CommitGone."""
        wait = pfs.CommitState.FINISHED if finished else pfs.CommitState.STARTED
        request = pfs.InspectCommitRequest(commit=ref.wire(), wait=wait)
        stub = pfs_grpc.APIStub(self.channel)
        while True:
            try:
                return _facts(
                    await stub.InspectCommit(request, timeout=WAIT_SECONDS if finished else None, wait_for_ready=True)
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise CommitGone(error.details() or "") from error
                if not (finished and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise

    async def has_repo(self, project: str, name: str) -> bool:
        """Whether there is a repo for the outputs of a pipeline."""
        repo = pfs.Repo(name=name, type="user", project=pfs.Project(name=project))
        try:
            await pfs_grpc.APIStub(self.channel).InspectRepo(pfs.InspectRepoRequest(repo=repo), timeout=10)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return False
            raise
        return True

    async def commits_of_set(self, id: str) -> list[CommitFacts]:
        """The commits that share an id, upstream first; none when nobody knows the id."""
        request = pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=id))
        try:
            found = pfs_grpc.APIStub(self.channel).InspectCommitSet(request, timeout=30)
            return [_facts(info) async for info in found]
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND or "no commits" in (error.details() or ""):
                return []
            raise

    async def repos_with_open_outputs(self) -> set[tuple[str, str]]:
        """(project, repo) of every repo with commits that wait for a job to write them."""
        stub, asked = commits_grpc.CommitServiceStub(self.channel), commits.ListReposWithOpenOutputsRequest()
        found = set[tuple[str, str]]()
        async for answer in stub.ListReposWithOpenOutputs(asked, timeout=30):
            found.update((repo.project.name, repo.name) for repo in answer.repos)
        return found

    async def open_commits(self, project: str, repo: str, branch: str) -> list[CommitFacts]:
        """The unfinished commits at the end of a branch, oldest first."""
        where = pfs.Repo(name=repo, type="user", project=pfs.Project(name=project))
        at: CommitRef | None = None
        found: list[CommitFacts] = []
        try:
            info = await pfs_grpc.APIStub(self.channel).InspectCommit(
                pfs.InspectCommitRequest(commit=pfs.Commit(branch=pfs.Branch(repo=where, name=branch)))
            )
            facts = _facts(info)
            while facts.open:
                found.append(facts)
                at = facts.parent
                if at is None:
                    break
                facts = await self.commit(at)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
        except CommitGone:
            pass
        return found[::-1]

    async def head(self, project: str, repo: str, type: str, branch: str) -> CommitFacts:
        """The newest commit of a branch. Raises AioRpcError as PFS does."""
        where = pfs.Repo(name=repo, type=type or "user", project=pfs.Project(name=project))
        commit = pfs.Commit(branch=pfs.Branch(repo=where, name=branch))
        return _facts(await pfs_grpc.APIStub(self.channel).InspectCommit(pfs.InspectCommitRequest(commit=commit)))

    async def glob(self, ref: CommitRef, pattern: str) -> AsyncIterator[list[Match]]:
        """Files and directories of a finished commit, in path order, in batches. Raises InputRefused."""
        request = trees.GlobTreeRequest(commit=ref.wire(), pattern=pattern)
        try:
            async for batch in trees_grpc.TreeServiceStub(self.channel).GlobTree(request):
                yield [_match(entry) for entry in batch.entries]
        except grpc.aio.AioRpcError as error:
            if error.code() in FINAL_CODES and PROBLEM_HEADER in dict(error.trailing_metadata() or ()):
                raise InputRefused(error.details() or "") from error
            raise

    async def entries(self, ref: CommitRef) -> AsyncIterator[tuple[str, str]]:
        """Every file of a commit, and the datum that wrote it. None when there is no such commit."""
        request = pfs.WalkFileRequest(file=pfs.File(commit=ref.wire(), path="/"))
        try:
            async for info in pfs_grpc.APIStub(self.channel).WalkFile(request):
                if info.file_type == pfs.FileType.FILE:
                    yield info.file.path, info.file.datum
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise

    async def diff(
        self, new: CommitRef, old: CommitRef, pattern: str
    ) -> AsyncIterator[list[tuple[Match | None, Match | None]]]:
        """(old, new) of each file and directory that differs between finished commits, in path order, in batches.

        Costs the difference. Raises CommitGone, InputRefused.
        """
        request = trees.DiffTreeRequest(new_commit=new.wire(), old_commit=old.wire(), pattern=pattern)
        try:
            async for batch in trees_grpc.TreeServiceStub(self.channel).DiffTree(request):
                yield [
                    (
                        _match(change.old_entry) if change.HasField("old_entry") else None,
                        _match(change.new_entry) if change.HasField("new_entry") else None,
                    )
                    for change in batch.changes
                ]
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise CommitGone(error.details() or "") from error
            if error.code() in FINAL_CODES and PROBLEM_HEADER in dict(error.trailing_metadata() or ()):
                raise InputRefused(error.details() or "") from error
            raise

    async def finish(self, ref: CommitRef, *, error: str = "") -> bool:
        """Close a commit for writing; no error when it is closed or gone already. True: it is FINISHED and good."""
        request = pfs.FinishCommitRequest(commit=ref.wire(), error=error, force=True)
        try:
            call = pfs_grpc.APIStub(self.channel).FinishCommit(request, wait_for_ready=True)
            await call
            return FINISHED_HEADER in dict(await call.trailing_metadata() or ())
        except grpc.aio.AioRpcError as refused:
            if FINISHED_ALREADY not in (refused.details() or "") and refused.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return False

    async def finished(self, ref: CommitRef, *, error: str = "") -> str:
        """Close a commit and wait until it is FINISHED. Returns its error, or "". Raises CommitGone."""
        return "" if await self.finish(ref, error=error) else (await self.commit(ref, finished=True)).error

    async def clear(self, ref: CommitRef) -> None:
        """Take away what an open commit has been given so far."""
        with unless_closed(ref):
            await pfs_grpc.APIStub(self.channel).ClearCommit(pfs.ClearCommitRequest(commit=ref.wire()))

    async def add_file_set(self, ref: CommitRef, file_set: str) -> None:
        """Put a file set on top of an open commit. Raises FileSetGone."""
        request = pfs.AddFileSetRequest(commit=ref.wire(), file_set_id=file_set)
        try:
            with unless_closed(ref):
                await pfs_grpc.APIStub(self.channel).AddFileSet(request, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if any(text in (error.details() or "") for text in FILE_SET_GONE):
                raise FileSetGone(file_set) from error
            raise

    async def removal(self, entries: AsyncIterator[tuple[str, str]]) -> str:
        """A file set that takes away exactly these (path, datum). Returns its id."""

        async def messages() -> AsyncIterator[content.PutEntriesRequest]:
            batch = content.PutEntriesRequest()
            async for path, datum in entries:
                batch.entries.add(path=path, datum=datum, removed=True)
                if len(batch.entries) == ENTRIES_A_MESSAGE:
                    yield batch
                    batch = content.PutEntriesRequest()
            yield batch

        answer = await content_grpc.ContentServiceStub(self.channel).PutEntries(messages(), timeout=600)
        return answer.file_set_id

    async def delete(self, ref: CommitRef, paths: Iterable[tuple[str, str]]) -> None:
        """Delete from an open commit what datums wrote. paths: (path, datum); "/" behind a path: all that is below."""

        async def messages() -> AsyncIterator[pfs.ModifyFileRequest]:
            yield pfs.ModifyFileRequest(set_commit=ref.wire())
            for path, datum in paths:
                yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path, datum=datum))

        with unless_closed(ref):
            await pfs_grpc.APIStub(self.channel).ModifyFile(messages(), timeout=600)

    async def egress(self, ref: CommitRef, target: bytes, password: str = "") -> None:
        """Copy the files of a commit out. target: a pipeline's egress; password: for its database.

        Raises AioRpcError as PFS does.
        """
        wanted = pps.Egress.FromString(target)
        request = pfs.EgressRequest(commit=ref.wire())
        if wanted.HasField("sql_database"):
            request.sql_database.CopyFrom(wanted.sql_database)
            request.sql_database.url = with_password(wanted.sql_database.url, password)
        else:
            request.object_storage.url = wanted.object_storage.url or wanted.URL
        await pfs_grpc.APIStub(self.channel).Egress(request, timeout=EGRESS_SECONDS, wait_for_ready=True)


@contextmanager
def unless_closed(ref: CommitRef) -> Iterator[None]:
    """Leave a commit that was closed meanwhile as it is.

    It was by whoever may, or Jobs was restored from an earlier moment than PFS: the job then ends with what is there.
    """
    try:
        yield
    except grpc.aio.AioRpcError as refused:
        if FINISHED_ALREADY not in (refused.details() or ""):
            raise
        log.info("%s stays as it is: it is closed already", ref)


def _match(entry: trees.TreeEntry) -> Match:
    return Match(entry.path, entry.size_bytes, entry.digest, tuple(entry.captures))


def with_password(url: str, password: str) -> str:
    """The address of a database, with the password in it unless it has one."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if not password or ":" in user:
        return url
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()


def _ref(commit: pfs.Commit) -> CommitRef:
    repo = commit.repo if commit.repo.name else commit.branch.repo
    return CommitRef(repo.project.name or "default", repo.name, repo.type or "user", commit.id)


def _facts(info: pfs.CommitInfo) -> CommitFacts:
    above = [_ref(commit) for commit in info.direct_provenance]
    return CommitFacts(
        ref=_ref(info.commit),
        branch=info.commit.branch.name,
        auto=info.origin.kind == pfs.OriginKind.AUTO,
        open=not info.HasField("finishing") and not info.HasField("finished"),
        finished=info.HasField("finished"),
        error=info.error,
        parent=_ref(info.parent_commit) if info.HasField("parent_commit") else None,
        spec_commits=tuple(ref.id for ref in above if ref.type == "spec"),
        made_from=tuple(above),
        started=time_of(info.started) if info.HasField("started") else None,
        closed=time_of(info.finishing) if info.HasField("finishing") else None,
    )
