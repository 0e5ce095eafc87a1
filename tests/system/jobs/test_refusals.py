"""What PFS will never give is told apart from what it cannot give now: the one ends a job, the other is awaited."""

import grpc
import pytest

from services.jobs.domain.errors import InputRefused
from services.jobs.peers.pfs import CommitRef, Pfs
from services.kit.rpc import channels
from tests.system.pfs.driver import Repo, put


async def test_a_glob_that_cannot_be_read_is_final(pfs_channel: grpc.Channel, pfs_address: str) -> None:
    repo = Repo(pfs_channel)
    repo.modify(put("/a", b"x"))
    ref = CommitRef("default", repo.name, "user", repo.wait().commit.id)
    async with channels.connect(pfs_address) as channel:
        with pytest.raises(InputRefused, match="unexpected end of input"):
            await _all(Pfs(channel), ref, "/[")
    async with channels.connect("127.0.0.1:1") as nobody:
        with pytest.raises(grpc.aio.AioRpcError):
            await _all(Pfs(nobody), ref, "/*")


async def _all(pfs: Pfs, ref: CommitRef, pattern: str) -> None:
    async for _ in pfs.glob(ref, pattern):
        pass
