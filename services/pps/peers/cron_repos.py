"""What crons ask of PFS: when they ticked last, and a tick more; which of their repos are to be made, and which go.

A spec may name a repo that is there already. It stays as it is, and stays when the pipeline goes: its files are
somebody's. A repo that was made for a cron says so in its description.
Elsewhere: making and removing repos (version_requests.py, repos.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from services.pps.domain.crons import Cron, file_name, last_tick
from services.pps.domain.pipelines import Version
from services.pps.domain.spec import inputs
from services.pps.domain.spec.inputs import CRON_BRANCH
from services.pps.peers.version_requests import cron_description, repo_of

LOOK_AT = 20  # files from the end: the last tick is among them unless somebody else filled the repo
PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True)
class CronRepos:
    """The repos of cron inputs."""

    channel: grpc.aio.Channel

    async def last(self, cron: Cron) -> datetime | None:
        """The last tick. None: there was none. Raises AioRpcError, also while somebody writes to the branch."""
        stub, seconds = pfs_grpc.APIStub(self.channel), PATIENCE.total_seconds()
        asked = pfs.InspectCommitRequest(commit=_head(cron), wait=pfs.CommitState.FINISHED)
        try:
            head = await stub.InspectCommit(asked, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        listing = pfs.ListFileRequest(file=pfs.File(commit=head.commit, path="/"), number=LOOK_AT, reverse=True)
        return last_tick([info.file.path async for info in stub.ListFile(listing, timeout=seconds)])

    async def tick(self, cron: Cron, at: datetime) -> None:
        """One commit with the file of a tick."""

        def messages() -> Iterator[pfs.ModifyFileRequest]:
            yield pfs.ModifyFileRequest(set_commit=_head(cron))
            if cron.overwrite:
                yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path="/"))
            added = pfs.ModifyFileRequest(add_file=pfs.AddFile(path=file_name(at)))
            added.add_file.raw.value = b""
            yield added

        await pfs_grpc.APIStub(self.channel).ModifyFile(messages(), timeout=PATIENCE.total_seconds())


async def missing(channel: grpc.aio.Channel, version: Version) -> list[pfs.Repo]:
    """The repos of a version's crons that are not there."""
    return [repo for repo, info in await _looked_up(channel, version) if info is None]


async def own(channel: grpc.aio.Channel, version: Version) -> list[pfs.Repo]:
    """The repos that were made for the crons of a version's pipeline."""
    wanted = cron_description(version.key)
    return [repo for repo, info in await _looked_up(channel, version) if info and info.description == wanted]


async def _looked_up(channel: grpc.aio.Channel, version: Version) -> list[tuple[pfs.Repo, pfs.RepoInfo | None]]:
    stub, found = pfs_grpc.APIStub(channel), list[tuple[pfs.Repo, pfs.RepoInfo | None]]()
    crons = inputs.crons(version.spec.get("input") or {})
    for where in dict.fromkeys((cron["project"], cron["repo"]) for cron in crons):
        repo = repo_of(*where)
        try:
            found.append((repo, await stub.InspectRepo(pfs.InspectRepoRequest(repo=repo))))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            found.append((repo, None))
    return found


def _head(cron: Cron) -> pfs.Commit:
    repo = pfs.Repo(name=cron.repo, type="user", project=pfs.Project(name=cron.project))
    return pfs.Commit(repo=repo, branch=pfs.Branch(repo=repo, name=CRON_BRANCH))
