"""Long answers, which are never whole in memory: a batch is made when the one before has left.

What goes wrong before the first byte is told as an answer; later the connection is cut, so that nobody takes a part
for the whole. Who takes nothing for a while is let go.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp.web import BaseRequest, StreamResponse

from services.kit.errors import Problem
from services.kit.packs import Bytes

log = logging.getLogger(__name__)
STALL_SECONDS = 60.0


async def stream(
    request: BaseRequest, answer: StreamResponse, batches: AsyncGenerator[Sequence[Bytes], None]
) -> StreamResponse:
    """Send `answer` with what `batches` gives. Raises what the first batch raises."""
    async with aclosing(batches):
        batch = await anext(batches, None)
        try:
            await answer.prepare(request)
            while batch is not None:
                for piece in batch:
                    async with asyncio.timeout(STALL_SECONDS):
                        await answer.write(piece)
                batch = await anext(batches, None)
            await answer.write_eof()
        except TimeoutError:
            _cut(request, "its reader takes nothing")
        except Problem as problem:
            _cut(request, str(problem))
        except ConnectionError:
            _cut(request, "its reader has gone", level=logging.DEBUG)
        except Exception:
            log.exception("an answer cannot be completed")
            _cut(request, "internal error")
    return answer


def _cut(request: BaseRequest, why: str, *, level: int = logging.WARNING) -> None:
    log.log(level, "an answer was cut off: %s", why)
    if request.transport is not None:
        request.transport.abort()
