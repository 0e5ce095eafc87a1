"""jsonnet templates: a program that gives JSON for some arguments. It runs apart (confined.py), without any file.

What it imports are pages of the web, which this side reads for it, within the rules for addresses and the limits below.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from threading import Event

from services.kit.errors import Problem, TooLong
from services.kit.programs.confined import Ended, TooSlow, confined
from services.kit.urls.opening import Urls
from services.kit.urls.port import while_wanted

SECONDS = 10.0  # of evaluation between two imports
WHOLE_SECONDS = 60.0
MOST_IMPORTS = 64
LONGEST_IMPORT = 4 << 20
Fetch = Callable[[str], Awaitable[str]]


class TemplateFailed(Problem):
    def __init__(self, why: str) -> None:
        super().__init__(f"template err: {why.rstrip()}")


class TemplateTooSlow(TooLong):
    def __init__(self) -> None:
        super().__init__(f"template err: context deadline exceeded: it was not evaluated within {SECONDS:g} s")


class _Refused(Exception):
    """An import that cannot be had."""


async def rendered(template: str, args: Mapping[str, str], *, fetch: Fetch) -> str:
    """The JSON that a template gives. Raises TemplateFailed, TemplateTooSlow."""
    try:
        async with asyncio.timeout(WHOLE_SECONDS), confined("jsonnet") as process:
            answer = await process.asked(
                {"name": "template", "template": template, "args": dict(args)}, seconds=SECONDS
            )
            known = dict[str, dict[str, str]]()
            while (url := answer.get("import")) is not None:
                if url not in known:
                    known[url] = await _imported(url, fetch, len(known))
                answer = await process.asked(known[url], seconds=SECONDS)
    except (TooSlow, TimeoutError) as slow:
        raise TemplateTooSlow() from slow
    except Ended as ended:
        raise TemplateFailed("it needs more memory than a template may use") from ended
    if "error" in answer:
        raise TemplateFailed(answer["error"])
    text: str = answer["json"]
    return text


async def _imported(url: str, fetch: Fetch, before: int) -> dict[str, str]:
    """What the process is told of it."""
    if not url.startswith(("http://", "https://")):
        return {"error": f"{url}: a template can import http and https addresses only"}
    if before >= MOST_IMPORTS:
        return {"error": f"{url}: a template can import {MOST_IMPORTS} addresses at most"}
    try:
        return {"url": url, "text": await fetch(url)}
    except (Problem, _Refused) as refused:
        return {"error": str(refused)}


def fetching(urls: Urls) -> Fetch:
    """What reads pages of the web as text."""

    def read(url: str, stopped: Event) -> str:
        content = bytearray()
        for item in urls.source(url).items():
            for piece in while_wanted(stopped, item.read()):
                content += piece
                if len(content) > LONGEST_IMPORT:
                    raise _Refused(f"{url}: it is longer than {LONGEST_IMPORT >> 20} MiB")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise _Refused(f"{url}: it is no text: {error}") from error

    async def fetched(url: str) -> str:
        return await urls.waited_for(lambda stopped: read(url, stopped))

    return fetched
