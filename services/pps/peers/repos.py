"""What this service asks of PFS, in its own words. Elsewhere: what a version needs there (version_requests.py)."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import staging_v1_pb2 as staging
from datamill.wire import staging_v1_pb2_grpc as staging_grpc
from datamill.wire import transaction_v2_pb2 as transaction
from datamill.wire import transaction_v2_pb2_grpc as transaction_grpc
from datamill.wire import trees_v1_pb2 as trees
from datamill.wire import trees_v1_pb2_grpc as trees_grpc
from services.kit.errors import NotFound, Problem
from services.pps.domain.errors import BadSpec
from services.pps.domain.names import DEFAULT_PROJECT, PipelineKey
from services.pps.domain.pipelines import Version
from services.pps.domain.spec import inputs
from services.pps.domain.spec.inputs import BranchRead
from services.pps.domain.spec.kinds import Kind, kind_of
from services.pps.peers import cron_repos
from services.pps.peers.followers import unused
from services.pps.peers.version_requests import (
    branch_of,
    branch_request,
    branch_requests,
    close_request,
    mark_of,
    output_branch,
    repo_of,
    version_requests,
)

log = logging.getLogger(__name__)
NO_COMMIT = "0" * 12 + "4" + "0" * 19
CHECK_SECONDS = 10
NO_PASSWORD = "must set PACHYDERM_SQL_PASSWORD"
WHICH_REQUEST = re.compile(r"^error running request \d+ of \d+: ")
TRY_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class PfsRefused(Problem):
    """PFS said no, for good. `error` is its own, without which of our requests it was: that is no business of users."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        text = WHICH_REQUEST.sub("", error.details() or "")
        super().__init__(text)
        self.error = grpc.aio.AioRpcError(error.code(), error.initial_metadata(), error.trailing_metadata(), text)


@dataclass(frozen=True)
class Repos:
    """The repos and branches of pipelines, in PFS."""

    channel: grpc.aio.Channel

    async def check_inputs(self, version: Version) -> None:
        """Raises NotFound when an input's repo does not exist, BadSpec when its glob cannot be read."""
        stub, tree = pfs_grpc.APIStub(self.channel), version.spec.get("input") or {}
        for where in dict.fromkeys((leaf["project"], leaf["repo"], leaf["repoType"]) for leaf in inputs.leaves(tree)):
            try:
                await stub.InspectRepo(pfs.InspectRepoRequest(repo=repo_of(*where)))
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise NotFound(error.details() or f"repo {'/'.join(where[:2])} not found") from error
                raise

        await self.check_globs(version)

    async def check_globs(self, version: Version) -> None:
        """Raises BadSpec when the glob of an input cannot be read; its repo need not exist."""
        for leaf in inputs.leaves(version.spec.get("input") or {}):
            await self._check_glob(repo_of(leaf["project"], leaf["repo"]), leaf["glob"])

    async def _check_glob(self, repo: pfs.Repo, glob: str) -> None:
        """PFS alone knows globs, and reads one before it looks for the commit: one that cannot exist will do."""
        commit = pfs.Commit(repo=repo, id=NO_COMMIT)
        asked = trees.GlobTreeRequest(commit=commit, pattern=glob)
        try:
            async for _ in trees_grpc.TreeServiceStub(self.channel).GlobTree(asked, timeout=CHECK_SECONDS):
                return
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNKNOWN:
                raise BadSpec(error.details() or f"glob ({glob}) invalid") from error
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise

    async def check_egress(self, egress: pps.Egress) -> None:
        """Raises BadSpec when outputs can never go there, whether or not anybody answers there now.

        PFS alone knows, and looks at the target before the commit: one that cannot exist will do.
        """
        asked = pfs.EgressRequest(commit=pfs.Commit(repo=repo_of(DEFAULT_PROJECT, "x"), id=NO_COMMIT))
        kind = egress.WhichOneof("target")
        if kind == "sql_database":
            asked.sql_database.CopyFrom(egress.sql_database)
        elif kind == "object_storage" or egress.URL:
            asked.object_storage.url = egress.object_storage.url or egress.URL
        else:
            return
        try:
            await pfs_grpc.APIStub(self.channel).Egress(asked, timeout=CHECK_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() in TRY_AGAIN:
                raise
            said = error.details() or ""
            if error.code() is not grpc.StatusCode.NOT_FOUND and said != NO_PASSWORD:  # the job brings the password
                raise BadSpec(f"egress.{kind or 'URL'}: {said}") from error

    async def project(self, name: str) -> pfs.ProjectInfo:
        """Raises AioRpcError with NOT_FOUND."""
        asked = pfs.InspectProjectRequest(project=pfs.Project(name=name))
        info: pfs.ProjectInfo = await pfs_grpc.APIStub(self.channel).InspectProject(asked)
        return info

    async def specs_of(self, commit_set: str) -> dict[PipelineKey, str]:
        """The spec commits that were in force at a commit set. Raises AioRpcError with NOT_FOUND."""
        asked = pfs.InspectCommitSetRequest(commit_set=pfs.CommitSet(id=commit_set))
        found = dict[PipelineKey, str]()
        async for info in pfs_grpc.APIStub(self.channel).InspectCommitSet(asked):
            repo = info.commit.repo
            if repo.type == "spec":
                found[PipelineKey(repo.project.name, repo.name)] = info.commit.id
        return found

    async def exists(self, key: PipelineKey, kind: str = "user") -> bool:
        """Whether the pipeline's repo of that type is there."""
        try:
            await pfs_grpc.APIStub(self.channel).InspectRepo(pfs.InspectRepoRequest(repo=repo_of(*key, kind)))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return False
            raise
        return True

    async def pairs(self, keys: Sequence[PipelineKey]) -> dict[PipelineKey, dict[str, str]]:
        """What users keep with pipelines, which PFS has with their spec repos; none of it while PFS is away."""
        stub, found = pfs_grpc.APIStub(self.channel), dict[PipelineKey, dict[str, str]]()
        try:
            if len(keys) == 1:
                one = await stub.InspectRepo(pfs.InspectRepoRequest(repo=repo_of(*keys[0], "spec")), timeout=2)
                return {keys[0]: dict(one.metadata)}
            projects = [pfs.Project(name=name) for name in sorted({key.project for key in keys})]
            async for info in stub.ListRepo(pfs.ListRepoRequest(type="spec", projects=projects), timeout=10):
                found[PipelineKey(info.repo.project.name, info.repo.name)] = dict(info.metadata)
        except grpc.aio.AioRpcError as error:
            log.info("the metadata of pipelines is not known: %s", error.details())
        return found

    async def make_version(self, version: Version, *, create: bool, stopped: bool) -> str:
        """Make or renew a pipeline's repos and branches in one transaction. Returns the spec commit's id.

        Raises PfsRefused when PFS will never accept it, AioRpcError when nobody knows whether it did.
        """
        if stopped:  # it has no provenance now, but what it will have when it is started must be possible
            await self.try_connected([(version, create)])
        info = await self._run(await self.requests(version, create=create, stopped=stopped))
        return next(answer.commit.id for answer in info.responses if answer.commit.id)

    async def make_versions(self, updates: Sequence[tuple[Version, bool]]) -> str:
        """Renew several pipelines in one transaction; each with whether it is stopped. Returns and raises the same."""
        if any(stopped for _, stopped in updates):
            await self.try_connected([(version, False) for version, _ in updates])
        requests = [
            one for version, stopped in updates for one in await self.requests(version, create=False, stopped=stopped)
        ]
        info = await self._run(requests)
        return next(answer.commit.id for answer in info.responses if answer.commit.id)

    async def try_connected(self, versions: Sequence[tuple[Version, bool]], *, transaction_id: str = "") -> None:
        """Raises PfsRefused when these versions could not run, each with whether it is a pipeline's first.

        transaction_id: of what is to be done before.
        """
        requests = [
            one for version, create in versions for one in await self.requests(version, create=create, stopped=False)
        ]
        asked = staging.TryRequestsRequest(transaction_id=transaction_id, requests=requests)
        try:
            await staging_grpc.StagingServiceStub(self.channel).TryRequests(asked)
        except grpc.aio.AioRpcError as error:
            if error.code() in TRY_AGAIN:
                raise
            raise PfsRefused(error) from error

    async def sources_to_make(self, version: Version) -> list[pfs.Branch]:
        """The branches that inputs with a trigger are to follow, and that nobody has written to yet."""
        stub, missing = pfs_grpc.APIStub(self.channel), []
        for leaf in inputs.leaves(version.spec.get("input") or {}):
            if leaf.get("trigger"):
                branch = pfs.Branch(repo=repo_of(leaf["project"], leaf["repo"]), name=leaf["trigger"]["branch"])
                try:
                    await stub.InspectBranch(pfs.InspectBranchRequest(branch=branch))
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise
                    missing.append(branch)
        return missing

    async def requests(self, version: Version, *, create: bool, stopped: bool) -> list[transaction.TransactionRequest]:
        """What makes or renews a pipeline's repos and branches."""
        key, other = version.key, not create and kind_of(version.spec) is not Kind.TRANSFORM
        gone = []
        if other and await self.exists(key, "meta"):  # it was a transform until now
            removal = pfs.DeleteRepoRequest(repo=repo_of(*key, "meta"), force=True)
            gone.append(transaction.TransactionRequest(delete_repo=removal))
        sources = await self.sources_to_make(version)
        left = (
            []
            if create
            else [*await self._left(version, "user"), *([] if other else await self._left(version, "meta"))]
        )
        cut = [branch_request(branch.repo, branch.name) for branch in left]
        crons = await cron_repos.missing(self.channel, version)
        made = version_requests(version, create=create, stopped=stopped, sources=sources, crons=crons)
        return [*gone, *cut, *made]

    async def _left(self, version: Version, kind: str) -> list[pfs.Branch]:
        """Branches that earlier versions wrote to: no job would finish the commits that inputs make on them."""
        asked, spec = pfs.ListBranchRequest(repo=repo_of(*version.key, kind)), repo_of(*version.key, "spec")
        try:
            listed = [info async for info in pfs_grpc.APIStub(self.channel).ListBranch(asked)]
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return []
            raise
        others = [info for info in listed if info.branch.name != version.spec["outputBranch"]]
        return [info.branch for info in others if any(one.repo == spec for one in info.direct_provenance)]

    async def made_version(self, version: Version) -> str:
        """The spec commit that this very version made, or "" when it never came to that."""
        commit = pfs.Commit(repo=repo_of(*version.key, "spec"), branch=pfs.Branch(name="master"))
        commit.branch.repo.CopyFrom(commit.repo)
        try:
            info = await pfs_grpc.APIStub(self.channel).InspectCommit(pfs.InspectCommitRequest(commit=commit))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return ""
            raise
        return info.commit.id if info.description == mark_of(version) else ""

    async def connect(self, version: Version, *, stopped: bool) -> None:
        """Give the output and meta branches their provenance, or none while the pipeline is stopped."""
        requests = branch_requests(version, stopped=stopped, meta=False)
        if kind_of(version.spec) is Kind.SPOUT and not stopped:
            branch = output_branch(version)
            info = await pfs_grpc.APIStub(self.channel).InspectBranch(pfs.InspectBranchRequest(branch=branch))
            if info.direct_provenance:
                return  # else there would be another empty commit
            requests.append(close_request(branch))
        await self._run(requests)

    async def remove(
        self, versions: Sequence[Version], *, keep_repo: bool, force: bool, followers: Sequence[BranchRead] = ()
    ) -> None:
        """Remove the repos of pipelines, all or none, in the given order: readers before what they read.

        With keep_repo the outputs stay, as ordinary repos.  followers: branches that only these pipelines read.
        """
        requests = [one for version in versions for one in await self._removal(version, keep_repo, force)]
        gone = set[PipelineKey]() if keep_repo else {version.key for version in versions}
        left = [branch_of(one) for one in followers if PipelineKey(one.project, one.repo) not in gone]
        requests += [
            transaction.TransactionRequest(delete_branch=pfs.DeleteBranchRequest(branch=branch))
            for branch in await unused(self.channel, left, {version.key for version in versions})
        ]
        if requests:
            await self._run(requests)

    async def _removal(self, version: Version, keep_repo: bool, force: bool) -> list[transaction.TransactionRequest]:
        key, requests = version.key, list[transaction.TransactionRequest]()
        if keep_repo:
            if await self.exists(key):
                requests += branch_requests(version, stopped=True, meta=False)
            kinds = ["meta", "spec"]
        else:
            kinds = ["user"] if await self.exists(key) else ["meta", "spec"]
        for kind in kinds:
            if await self.exists(key, kind):
                gone = pfs.DeleteRepoRequest(repo=repo_of(*key, kind), force=force or kind != "user")
                requests.append(transaction.TransactionRequest(delete_repo=gone))
        for repo in await cron_repos.own(self.channel, version):
            gone = pfs.DeleteRepoRequest(repo=repo, force=force)
            requests.append(transaction.TransactionRequest(delete_repo=gone))
        return requests

    async def _run(self, requests: list[transaction.TransactionRequest]) -> transaction.TransactionInfo:
        stub = transaction_grpc.APIStub(self.channel)
        try:
            return await stub.BatchTransaction(transaction.BatchTransactionRequest(requests=requests))
        except grpc.aio.AioRpcError as error:
            if error.code() in TRY_AGAIN:
                raise
            raise PfsRefused(error) from error
