"""From an address to what reads or writes it.

  http https      a page; reading only
  s3              CUSTOM_ENDPOINT (else Amazon's), DISABLE_SSL, AWS_REGION; AWS_… credentials, none: a public bucket
  minio           MINIO_ENDPOINT, MINIO_ID, MINIO_SECRET, MINIO_SECURE
  test-minio      test-minio://host:port/bucket/key, with the credentials such a server comes with
  file            in folders that the operator allows
  postgres …      a database, for tables only (tables.py)
Elsewhere: which addresses may be used (rules.py); how pages and stores are reached (far.py).
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from services.kit.urls.folders import Files
from services.kit.urls.port import BadUrl, NoDriver, Source, Target, UnknownScheme
from services.kit.urls.rules import Rules
from services.kit.urls.tables import SqlDatabase

if TYPE_CHECKING:
    from services.kit.urls.far import Far

T = TypeVar("T")
ELSEWHERE = {"gs": "Google Cloud Storage", "gcs": "Google Cloud Storage"}
ELSEWHERE |= {"azblob": "Azure Blob Storage", "wasb": "Azure Blob Storage"}
THREADS = 16


class Urls:
    """Opens addresses. Safe for several threads."""

    def __init__(self, rules: Rules, environ: Mapping[str, str]) -> None:
        self._rules, self._environ = rules, environ
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="urls")
        """For work that waits for others: it must not keep a process's own threads busy."""

    @cached_property
    def _far(self) -> "Far":
        # Only for the first address that needs it: this would be a tenth of every start, mostly for nothing.
        from services.kit.urls.far import Far  # noqa: PLC0415

        return Far(self._rules, self._environ)

    async def waited_for(self, work: Callable[[Event], T]) -> T:
        """Run `work(stopped)` on a thread for work that waits for others; `stopped` is set once nobody waits for it."""
        stopped = Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, work, stopped)
        finally:
            stopped.set()

    def source(self, url: str, *, recursive: bool = False) -> Source:
        """Raises UnknownScheme, NoDriver, BadUrl, UrlRefused. Nothing is asked of anybody yet."""
        scheme = _scheme(url)
        if scheme in {"http", "https"}:
            self._rules.check_host(_host(url), url)
            return self._far.page(url)
        if scheme == "file":
            return Files.at(url, self._rules, recursive=recursive)
        return self._store(scheme).bucket(url, scheme, recursive=recursive)

    def target(self, url: str) -> Target:
        """Where to write objects, each below the address. Raises the same."""
        scheme = _scheme(url)
        return Files.at(url, self._rules) if scheme == "file" else self._store(scheme).bucket(url, scheme)

    def database(self, url: str) -> SqlDatabase:
        """A database as a target. Raises BadUrl, UrlRefused, NoPassword."""
        return SqlDatabase.at(url, self._rules, self._environ)

    def _store(self, scheme: str) -> "Far":
        if scheme in ELSEWHERE:
            raise NoDriver(scheme, ELSEWHERE[scheme])
        if scheme not in {"s3", "minio", "test-minio"}:
            raise UnknownScheme(scheme)
        return self._far


def _scheme(url: str) -> str:
    scheme, mark, _ = url.partition("://")
    if not url.isprintable():
        raise BadUrl(url, "it holds characters that cannot be printed")
    if not mark:
        raise UnknownScheme("")
    return scheme.lower()


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError as error:
        raise BadUrl(url, str(error)) from error
    if not host:
        raise BadUrl(url, "it names no host")
    return host
