"""datamill.commits.v1: what other services ask about the commits of all repos at once."""

from collections.abc import AsyncIterator

from sqlalchemy.orm import Session

from datamill.wire import commits_v1_pb2 as wire
from datamill.wire.commits_v1_pb2_grpc import CommitServiceServicer
from services.kit.rpc.server import Context, require_service
from services.kit.storage.database import Database
from services.pfs.domain.keys import RepoKey
from services.pfs.servicers.wire import to_wire
from services.pfs.storage.commits import CommitStore

BATCH = 1_000


class CommitService(CommitServiceServicer):
    def __init__(self, db: Database, *, token: str) -> None:
        self._db, self._token = db, token

    async def ListReposWithOpenOutputs(
        self, request: wire.ListReposWithOpenOutputsRequest, context: Context
    ) -> AsyncIterator[wire.ListReposWithOpenOutputsResponse]:
        require_service(context, self._token)
        found = await self._db.read(_with_open_outputs)
        for at in range(0, len(found), BATCH):
            yield wire.ListReposWithOpenOutputsResponse(repos=map(to_wire.repo, found[at : at + BATCH]))


def _with_open_outputs(tx: Session) -> list[RepoKey]:
    return CommitStore(tx).repos_with_open_outputs()
