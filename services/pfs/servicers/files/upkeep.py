"""The methods of pfs_v2.API around stored content: its check, and the cache of whoever works on it.

Elsewhere: files and file sets (files.py, filesets.py).
"""

import asyncio

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import Context
from services.pfs.operations.cache import clear_cache, get_cache, put_cache
from services.pfs.operations.content import live_among
from services.pfs.operations.storage_check import damaged, packs_between, raise_for
from services.pfs.servicers.base import Rpcs


class UpkeepRpcs(Rpcs):
    """The store and the cache."""

    async def CheckStorage(self, request: pfs.CheckStorageRequest, context: Context) -> pfs.CheckStorageResponse:
        names = await self.db.read(packs_between, request.chunk_begin, request.chunk_end)
        found = await asyncio.to_thread(damaged, self.stores.objects, names, read=request.read_chunk_data)
        raise_for(found, await self.db.read(live_among, found) if found else set())
        return pfs.CheckStorageResponse(chunk_object_count=len(names))

    async def PutCache(self, request: pfs.PutCacheRequest, context: Context) -> Empty:
        value, now = request.value.SerializeToString(), self.clock.now()
        await self.db.run(put_cache, request.key, value, list(request.file_set_ids), request.tag, now=now)
        return Empty()

    async def GetCache(self, request: pfs.GetCacheRequest, context: Context) -> pfs.GetCacheResponse:
        value = await self.db.run(get_cache, request.key, now=self.clock.now())
        return pfs.GetCacheResponse(value=Any.FromString(value))

    async def ClearCache(self, request: pfs.ClearCacheRequest, context: Context) -> Empty:
        await self.db.run(clear_cache, request.tag_prefix, now=self.clock.now())
        return Empty()
