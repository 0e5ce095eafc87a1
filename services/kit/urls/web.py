"""Reading a page: one GET, redirects followed by hand so that each hop is held against the rules."""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError

from services.kit.urls.connections import arriving, plainly
from services.kit.urls.port import BadUrl, Item, RetrievalFailed, UrlRefused
from services.kit.urls.rules import Rules

MOST_REDIRECTS = 10
_MOVED = {301, 302, 303, 307, 308}


@dataclass(frozen=True)
class Page:
    """One address of the web."""

    url: str
    rules: Rules
    pool: urllib3.PoolManager

    def items(self) -> Iterator[Item]:
        yield Item("", None, self._read)

    def _read(self) -> Iterator[bytes]:
        try:
            answer = self._answer()
            try:
                yield from arriving(answer)
            finally:
                answer.close()
        except (HTTPError, LocationValueError) as error:
            raise RetrievalFailed(self.url, plainly(error)) from error

    def _answer(self) -> urllib3.BaseHTTPResponse:
        url = self.url
        for _ in range(MOST_REDIRECTS + 1):
            answer = self.pool.request("GET", url, headers=self._headers(url), preload_content=False, redirect=False)
            onward = answer.headers.get("location") if answer.status in _MOVED else None
            if onward is None:
                break
            answer.close()
            url = urljoin(url, onward)
        else:
            raise RetrievalFailed(self.url, f"it was redirected more than {MOST_REDIRECTS} times")
        if answer.status >= 400:
            answer.close()
            raise RetrievalFailed(self.url, _status(answer))
        return answer

    def _headers(self, url: str) -> dict[str, str]:
        """For one hop, which is checked first. Raises UrlRefused, BadUrl."""
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError as error:
            raise BadUrl(url, str(error)) from error
        if parts.scheme.lower() not in {"http", "https"}:
            raise UrlRefused(self.url, f"it leads on to a {parts.scheme} address")
        if not host:
            raise BadUrl(url, "it names no host")
        self.rules.check_host(host, self.url)
        headers = {"Accept-Encoding": "identity"}  # the bytes as they lie there
        if parts.username is not None:
            who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers |= urllib3.make_headers(basic_auth=who)
        return headers


def _status(answer: urllib3.BaseHTTPResponse) -> str:
    """For example "404 Not Found"."""
    known = answer.status in set(HTTPStatus)
    return f"{answer.status} {answer.reason or (HTTPStatus(answer.status).phrase if known else '')}".strip()
