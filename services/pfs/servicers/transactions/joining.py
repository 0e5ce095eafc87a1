"""Requests that join a transaction: with its id in the header `pach-transaction` they are added instead of run.

An empty header is none. Every other method ignores it and runs at once.
Elsewhere: what they do when they run (servicers/refs/); what adding means (operations/transactions.py).
"""

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import staging_v1_pb2 as staging
from datamill.wire import transaction_v2_pb2 as wire
from services.kit.rpc.server import Context
from services.kit.rpc.staging import transaction_of
from services.pfs.operations.transactions import append
from services.pfs.servicers.refs.branches import BranchRpcs
from services.pfs.servicers.refs.commit_sets import CommitSetRpcs
from services.pfs.servicers.refs.commits import CommitRpcs
from services.pfs.servicers.refs.repos import RepoRpcs
from services.pfs.servicers.transactions.running import appending


class JoiningRpcs(RepoRpcs, BranchRpcs, CommitRpcs, CommitSetRpcs):
    """The methods that can be part of a transaction."""

    async def CreateRepo(self, request: pfs.CreateRepoRequest, context: Context) -> Empty:
        if await self._joined(context, wire.TransactionRequest(create_repo=request)):
            return Empty()
        return await super().CreateRepo(request, context)

    async def DeleteRepo(self, request: pfs.DeleteRepoRequest, context: Context) -> pfs.DeleteRepoResponse:
        if await self._joined(context, wire.TransactionRequest(delete_repo=request)):
            return pfs.DeleteRepoResponse(deleted=True)
        return await super().DeleteRepo(request, context)

    async def CreateBranch(self, request: pfs.CreateBranchRequest, context: Context) -> Empty:
        if await self._joined(context, wire.TransactionRequest(create_branch=request)):
            return Empty()
        return await super().CreateBranch(request, context)

    async def DeleteBranch(self, request: pfs.DeleteBranchRequest, context: Context) -> Empty:
        if await self._joined(context, wire.TransactionRequest(delete_branch=request)):
            return Empty()
        return await super().DeleteBranch(request, context)

    async def StartCommit(self, request: pfs.StartCommitRequest, context: Context) -> pfs.Commit:
        if answer := await self._joined(context, wire.TransactionRequest(start_commit=request)):
            return pfs.Commit(id=answer.commit.id, repo=answer.commit.repo)
        return await super().StartCommit(request, context)

    async def FinishCommit(self, request: pfs.FinishCommitRequest, context: Context) -> Empty:
        if await self._joined(context, wire.TransactionRequest(finish_commit=request)):
            return Empty()
        return await super().FinishCommit(request, context)

    async def SquashCommitSet(self, request: pfs.SquashCommitSetRequest, context: Context) -> Empty:
        if await self._joined(context, wire.TransactionRequest(squash_commit_set=request)):
            return Empty()
        return await super().SquashCommitSet(request, context)

    async def _joined(self, context: Context, request: wire.TransactionRequest) -> wire.TransactionResponse | None:
        """What the dry run answered; None: the call belongs to no transaction."""
        id = transaction_of(context)
        if not id:
            return None
        return await self.db.run(append, id, self.clock.now, appending(staging.Step(request=request)))
