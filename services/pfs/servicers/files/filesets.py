"""The file set methods of pfs_v2.API.

Elsewhere: files (files.py); file sets out of packs (servicers/content.py).
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import Context
from services.kit.time.clock import fresh_id
from services.pfs.domain.commits import Commit
from services.pfs.domain.errors import prefixed
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.operations.files.filesets import (
    TTL,
    Difference,
    add_file_set,
    checked_id,
    compacted,
    create_file_set,
    difference_parts,
    own_parts,
    parts_of,
    renew_file_set,
    total_parts,
)
from services.pfs.operations.files.landing import Landing
from services.pfs.operations.files.shards import shards
from services.pfs.operations.files.tree_views import LOOK_AGAIN, Sight
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.files.intake import Intake
from services.pfs.servicers.wire import from_wire
from services.pfs.storage.content.filesets import FILE_SETS
from services.pfs.storage.content.layers import Part


class FileSetRpcs(Rpcs):
    """File sets."""

    async def CreateFileSet(
        self, requests: AsyncIterator[pfs.ModifyFileRequest], context: Context
    ) -> pfs.CreateFileSetResponse:
        return await self._kept(await Intake(self.stores, self.views, self.urls, _nothing).take(requests))

    async def GetFileSet(self, request: pfs.GetFileSetRequest, context: Context) -> pfs.CreateFileSetResponse:
        with prefixed("get file set: "):
            ref = from_wire.commit_ref(request.commit if request.HasField("commit") else None)
            if request.type == pfs.GetFileSetRequest.DIFF:
                parts = await self._own(ref)
            else:
                parts = await self._total(ref)
            return await self._kept(Landing(parts, [], self.stores.session))

    async def AddFileSet(self, request: pfs.AddFileSetRequest, context: Context) -> Empty:
        ref = from_wire.commit_ref(request.commit if request.HasField("commit") else None)
        await self.db.run(add_file_set, ref, request.file_set_id, now=self.clock.now())
        return Empty()

    async def RenewFileSet(self, request: pfs.RenewFileSetRequest, context: Context) -> Empty:
        ttl = _seconds(request.ttl_seconds)
        await self.db.run(renew_file_set, request.file_set_id, ttl, now=self.clock.now())
        return Empty()

    async def ComposeFileSet(self, request: pfs.ComposeFileSetRequest, context: Context) -> pfs.CreateFileSetResponse:
        parts = await self.db.read(parts_of, list(request.file_set_ids), self.clock.now())
        if request.compact:
            parts = await asyncio.to_thread(compacted, self.stores, parts)
        return await self._kept(Landing(parts, [], self.stores.session), _seconds(request.ttl_seconds))

    async def ShardFileSet(self, request: pfs.ShardFileSetRequest, context: Context) -> pfs.ShardFileSetResponse:
        view = await self.views.open(CommitRef(RepoKey("default", FILE_SETS, "user"), checked_id(request.file_set_id)))
        found = await asyncio.to_thread(lambda: list(shards(view, request.num_files, request.size_bytes)))
        return pfs.ShardFileSetResponse(shards=[pfs.PathRange(lower=one.lower, upper=one.upper) for one in found])

    async def _kept(self, landing: Landing, ttl: timedelta = TTL) -> pfs.CreateFileSetResponse:
        id = fresh_id()
        await self.db.run(create_file_set, id, landing, ttl=ttl, now=self.clock.now())
        return pfs.CreateFileSetResponse(file_set_id=id)

    async def _total(self, ref: CommitRef) -> list[Part]:
        async with self.bus.listen("pfs.commit.finished", "pfs.commit.deleted") as news:
            while isinstance(found := await self.db.read(total_parts, ref, self.clock.now()), Sight):
                await news.wait(LOOK_AGAIN)
            return found

    async def _own(self, ref: CommitRef) -> list[Part]:
        async with self.bus.listen("pfs.commit.finished", "pfs.commit.deleted") as news:
            while isinstance(found := await self.db.read(own_parts, ref), Commit):
                await news.wait(LOOK_AGAIN)
        if isinstance(found, Difference):
            return await asyncio.to_thread(difference_parts, self.stores, found)
        return found


def _seconds(count: int) -> timedelta:
    """A wire duration; absurd ones are cut to what a timedelta and the database can hold."""
    return timedelta(seconds=max(-(10**9), min(count, 10**9)))


async def _nothing() -> None:
    """A new file set has nothing below it."""
