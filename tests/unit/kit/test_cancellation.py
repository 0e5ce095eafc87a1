"""A task that is cancelled while nats-py has its answer ends."""

import asyncio

import pytest

from services.kit.bus import heeding_cancellation


def test_a_cancellation_that_meets_the_answer_is_heeded() -> None:
    async def main() -> None:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def asking() -> None:
            with heeding_cancellation():
                await asyncio.wait_for(answer, 60)  # as nats-py does

        task = asyncio.create_task(asking())
        await asyncio.sleep(0)
        answer.set_result(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_timeout_around_stays_a_timeout() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.01):
            with heeding_cancellation():
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
