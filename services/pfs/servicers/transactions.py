"""transaction_v2.API: several requests as one change. Stored transactions are not built yet."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import transaction_v2_pb2 as wire
from datamill.wire.transaction_v2_pb2_grpc import APIServicer
from services.kit.clock import Clock, fresh_id
from services.kit.database import Database
from services.kit.errors import Unsupported
from services.kit.server import Context, is_service
from services.pfs.domain.errors import Malformed, prefixed
from services.pfs.operations.dag.change import Change, changed
from services.pfs.operations.refs.branches import create_branch, delete_branch
from services.pfs.operations.refs.commits import finish_commit, start_commit
from services.pfs.operations.refs.delete_commits import delete_set
from services.pfs.operations.refs.repos import create_repo, delete_repo
from services.pfs.servicers.refs import branches, commits
from services.pfs.servicers.wire import from_wire, to_wire


class TransactionApi(APIServicer):
    """service_token: its holder may change the repos of pipelines."""

    def __init__(self, *, db: Database, clock: Clock, service_token: str) -> None:
        self._db, self._clock, self._service_token = db, clock, service_token

    async def BatchTransaction(self, request: wire.BatchTransactionRequest, context: Context) -> wire.TransactionInfo:
        id, now, owner = fresh_id(), self._clock.now(), is_service(context, self._service_token)
        responses = await self._db.run(_run, id, now, list(request.requests), owner)
        info = wire.TransactionInfo(
            transaction=wire.Transaction(id=id), requests=request.requests, responses=responses, version=1
        )
        info.started.FromDatetime(now)
        return info


def _run(
    tx: Session, id: str, now: datetime, requests: Sequence[wire.TransactionRequest], owner: bool
) -> list[wire.TransactionResponse]:
    return changed(tx, _all, id, now, requests, owner)


def _all(change: Change, requests: Sequence[wire.TransactionRequest], owner: bool) -> list[wire.TransactionResponse]:
    responses = []
    for at, request in enumerate(requests, 1):
        with prefixed(f"error running request {at} of {len(requests)}: "):
            responses.append(_one(change, request, owner))
    return responses


def _one(change: Change, request: wire.TransactionRequest, owner: bool) -> wire.TransactionResponse:
    """Carry out one request; only StartCommit has an answer, with the branch in it."""
    answer = wire.TransactionResponse()
    match [field.name for field, _ in request.ListFields()]:
        case ["create_repo"]:
            repo = request.create_repo
            key = from_wire.some_repo(repo.repo, repo.HasField("repo"))
            create_repo(change, key, description=repo.description, update=repo.update)
        case ["delete_repo"]:
            _delete_repo(change, request.delete_repo, owner)
        case ["start_commit"]:
            start = request.start_commit
            branch = from_wire.branch_key(start.branch) if start.HasField("branch") else None
            parent = commits.parent_of(start)
            made = start_commit(change, branch, parent=parent, description=start.description)
            answer.commit.CopyFrom(to_wire.commit(made.ref))
        case ["finish_commit"]:
            end = request.finish_commit
            ref = from_wire.some_commit(end.commit, end.HasField("commit"))
            finish_commit(change, ref, description=end.description, error=end.error, force=end.force)
        case ["squash_commit_set"]:
            some = request.squash_commit_set
            delete_set(change, from_wire.commit_set(some.commit_set, some.HasField("commit_set")), squash=True)
        case ["create_branch"]:
            create_branch(change, **branches.asked(request.create_branch))
        case ["delete_branch"]:
            gone = request.delete_branch
            delete_branch(change, from_wire.some_branch(gone.branch, gone.HasField("branch")), force=gone.force)
        case []:
            raise Malformed("unrecognized transaction request type")
        case names:
            raise Unsupported(f"{', '.join(names)} in a transaction is not built yet")
    return answer


def _delete_repo(change: Change, request: pfs.DeleteRepoRequest, owner: bool) -> None:
    key = from_wire.repo_key(request.repo) if request.HasField("repo") else None
    delete_repo(change, key, force=request.force, owner=owner)
