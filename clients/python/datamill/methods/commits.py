"""Commits and commit sets: opening, closing, waiting, listing, removing.

Elsewhere: writing into an open one (files.py, folders.py); `with client.commit(…)` (client.py).
"""

from collections.abc import Iterator

from datamill import names
from datamill.transport import Calls, patiently
from datamill.wire import pfs_v2_pb2 as pfs


class Commits(Calls):
    """Methods about commits. A commit is `repo@branch`, `repo@ID` or either with `^2` behind it."""

    def start_commit(
        self, branch: str | pfs.Branch, *, parent: str | pfs.Commit | None = None, description: str = ""
    ) -> pfs.Commit:
        """Open a commit on a branch, which is made when missing. Raises NotFound, Failed when its head is open."""
        request = pfs.StartCommitRequest(
            branch=names.branch(branch),
            parent=None if parent is None else names.commit(parent),
            description=description,
        )
        return self.call(self.pfs.StartCommit, request)

    def finish_commit(
        self, commit: str | pfs.Commit, *, description: str = "", error: str = "", force: bool = False
    ) -> None:
        """Close a commit for writing. error: marks it as no good, and what comes after ignores its data."""
        request = pfs.FinishCommitRequest(
            commit=names.commit(commit), description=description, error=error, force=force
        )
        self.call(self.pfs.FinishCommit, request)

    def inspect_commit(self, commit: str | pfs.Commit) -> pfs.CommitInfo:
        return self.call(self.pfs.InspectCommit, pfs.InspectCommitRequest(commit=names.commit(commit)))

    def wait_commit(self, commit: str | pfs.Commit) -> pfs.CommitInfo:
        """Wait until a commit is FINISHED: merged, validated, readable. Its `error` says whether it is good.

        For a branch: until the head that it has now is.
        """
        info = self.inspect_commit(commit)  # when nobody answers, say so now
        if info.HasField("finished"):
            return info
        request = pfs.InspectCommitRequest(commit=info.commit, wait=pfs.CommitState.FINISHED)
        return patiently(lambda: self.wait(self.pfs.InspectCommit, request))

    def list_commits(
        self,
        repo: str | pfs.Repo | None = None,
        *,
        to: str | pfs.Commit | None = None,
        since: str | pfs.Commit | None = None,
        number: int = 0,
        reverse: bool = False,
        origin: pfs.OriginKind.ValueType = pfs.OriginKind.ORIGIN_KIND_UNKNOWN,
    ) -> Iterator[pfs.CommitInfo]:
        """Commits, newest first. repo: None for every repo, or taken from `to`. to: begin here and follow parents.
        since: stop before this one. number: at most so many, 0 for all."""
        start = None if to is None else names.commit(to)
        home = (
            start.repo if repo is None and start is not None else names.repo(repo) if repo is not None else pfs.Repo()
        )
        request = pfs.ListCommitRequest(
            repo=home,
            to=start,
            number=number,
            reverse=reverse,
            origin_kind=origin,
            **({} if since is None else {"from": names.commit(since)}),  # type: ignore[arg-type]
        )
        return self.stream(self.pfs.ListCommit, request)

    def subscribe_commits(
        self,
        repo: str | pfs.Repo,
        branch: str = "",
        *,
        state: pfs.CommitState.ValueType = pfs.CommitState.FINISHED,
    ) -> Iterator[pfs.CommitInfo]:
        """Every commit of a repo once it got as far as `state`: first those there are, then new ones, without end."""
        request = pfs.SubscribeCommitRequest(repo=names.repo(repo), branch=branch, state=state)
        return self.stream(self.pfs.SubscribeCommit, request)

    def find_commits(self, file: str | pfs.File, *, limit: int = 0) -> Iterator[pfs.FindCommitsResponse]:
        """Commits that added, changed or deleted a file, walking back from the one named."""
        wanted = names.file(file)
        request = pfs.FindCommitsRequest(start=wanted.commit, file_path=wanted.path, limit=limit)
        return self.stream(self.pfs.FindCommits, request)

    def inspect_commit_set(self, id: str, *, wait: bool = False) -> Iterator[pfs.CommitInfo]:
        """The commits of one change, and those they were made from, inputs first. wait: each once it is FINISHED."""
        request = pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=id), wait=wait)
        return self.stream(self.pfs.InspectCommitSet, request)

    def list_commit_sets(self, *, project: str | None = None) -> Iterator[pfs.CommitSetInfo]:
        chosen = None if project is None else names.project(project)
        return self.stream(self.pfs.ListCommitSet, pfs.ListCommitSetRequest(project=chosen))

    def squash_commit_set(self, id: str) -> None:
        """Remove a change; what it wrote stays in the commits after it."""
        self.call(self.pfs.SquashCommitSet, pfs.SquashCommitSetRequest(commit_set=pfs.CommitSet(id=id)))

    def drop_commit_set(self, id: str) -> None:
        """Remove the newest change together with what it wrote."""
        self.call(self.pfs.DropCommitSet, pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=id)))

    def squash_commit(self, commit: str | pfs.Commit, *, recursive: bool = False) -> None:
        request = pfs.SquashCommitRequest(commit=names.commit(commit), recursive=recursive)
        self.call(self.pfs.SquashCommit, request)

    def drop_commit(self, commit: str | pfs.Commit, *, recursive: bool = False) -> None:
        request = pfs.DropCommitRequest(commit=names.commit(commit), recursive=recursive)
        self.call(self.pfs.DropCommit, request)
