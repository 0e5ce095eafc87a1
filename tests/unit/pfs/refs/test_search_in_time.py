"""A search that takes longer than its caller waits ends early."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from services.pfs.servicers.refs.history import in_time


async def test_a_slow_search_is_given_up_at_its_end() -> None:
    ended = asyncio.Event()

    async def slow() -> AsyncGenerator[str, None]:
        try:
            yield "one"
            await asyncio.sleep(60)
            yield "two"
        finally:
            ended.set()

    async with aclosing(slow()) as found, asyncio.timeout(10):
        end = asyncio.get_running_loop().time() + 0.05
        assert await in_time(found, end) == "one"
        assert await in_time(found, end) is None
        assert ended.is_set()
        assert await in_time(found, end) is None
    async with aclosing(slow()) as found:
        assert await in_time(found, None) == "one"
