"""From an address to what reads or writes it.

  http https      a page; reading only
  s3              CUSTOM_ENDPOINT (else Amazon's), DISABLE_SSL, AWS_REGION; AWS_… credentials, none: a public bucket
  minio           MINIO_ENDPOINT, MINIO_ID, MINIO_SECRET, MINIO_SECURE
  test-minio      test-minio://host:port/bucket/key, with the credentials such a server comes with
  file            in folders that the operator allows
  postgres …      a database, for tables only (tables.py)
Elsewhere: which addresses may be used (rules.py).

What speaks HTTP is imported by the first address that needs it: it would be a tenth of every start, mostly for nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from services.kit.urls.folders import Files
from services.kit.urls.port import BadUrl, NoDriver, Source, Target, UnknownScheme
from services.kit.urls.rules import Rules
from services.kit.urls.tables import SqlDatabase

if TYPE_CHECKING:
    from minio import Minio
    from urllib3 import PoolManager

    from services.kit.urls.buckets import Bucket

T = TypeVar("T")
AMAZON, MINIO, MINIO_ACCOUNT = "s3.amazonaws.com", "localhost:9000", "minioadmin"
ELSEWHERE = {"gs": "Google Cloud Storage", "gcs": "Google Cloud Storage"}
ELSEWHERE |= {"azblob": "Azure Blob Storage", "wasb": "Azure Blob Storage"}
THREADS = 16
_YES = {"1", "true", "yes", "t", "y"}


@dataclass(frozen=True)
class Stores:
    """How to reach the object stores that addresses name; from the environment."""

    s3_endpoint: str = AMAZON
    s3_secure: bool = True
    s3_region: str = ""
    minio_endpoint: str = MINIO
    minio_id: str = MINIO_ACCOUNT
    minio_secret: str = field(default=MINIO_ACCOUNT, repr=False)
    minio_secure: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Stores":
        def yes(name: str) -> bool:
            return environ.get(name, "").lower() in _YES

        custom = environ.get("CUSTOM_ENDPOINT", "")
        return cls(
            s3_endpoint=_bare(custom) or AMAZON,
            s3_secure=not yes("DISABLE_SSL") and not custom.startswith("http://"),
            s3_region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION", ""),
            minio_endpoint=_bare(environ.get("MINIO_ENDPOINT", "")) or MINIO,
            minio_id=environ.get("MINIO_ID") or MINIO_ACCOUNT,
            minio_secret=environ.get("MINIO_SECRET") or MINIO_ACCOUNT,
            minio_secure=yes("MINIO_SECURE"),
        )


class Urls:
    """Opens addresses. Safe for several threads."""

    def __init__(self, rules: Rules, environ: Mapping[str, str]) -> None:
        self._rules, self._stores = rules, Stores.of(environ)
        self._environ = environ
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="urls")
        """For work that waits for others: it must not keep a process's own threads busy."""

    @cached_property
    def _pool(self) -> "PoolManager":
        from services.kit.urls.connections import connections  # noqa: PLC0415

        return connections(self._rules)

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
            from services.kit.urls.web import Page  # noqa: PLC0415

            return Page(url, self._rules, self._pool)
        if scheme == "file":
            return Files.at(url, self._rules, recursive=recursive)
        return self._bucket(url, scheme, recursive=recursive)

    def target(self, url: str) -> Target:
        """Where to write objects, each below the address. Raises the same."""
        scheme = _scheme(url)
        return Files.at(url, self._rules) if scheme == "file" else self._bucket(url, scheme)

    def database(self, url: str) -> SqlDatabase:
        """A database as a target. Raises BadUrl, UrlRefused, NoPassword."""
        return SqlDatabase.at(url, self._rules, self._environ)

    def _bucket(self, url: str, scheme: str, *, recursive: bool = False) -> "Bucket":
        if scheme in ELSEWHERE:
            raise NoDriver(scheme, ELSEWHERE[scheme])
        if scheme not in {"s3", "minio", "test-minio"}:
            raise UnknownScheme(scheme)
        rest, endpoint = url.partition("://")[2], self._endpoint(scheme)
        if scheme == "test-minio":
            endpoint, _, rest = rest.partition("/")
            self._rules.check_host(endpoint.partition(":")[0], url)
        name, _, key = rest.partition("/")
        if not name:
            raise BadUrl(url, "it names no bucket")
        self._rules.check_bucket(scheme, endpoint, name, url)
        from services.kit.urls.buckets import Bucket  # noqa: PLC0415

        try:
            return Bucket(url, self._client(scheme, endpoint), name, key, recursive)
        except ValueError as error:
            raise BadUrl(url, str(error)) from error

    def _endpoint(self, scheme: str) -> str:
        return self._stores.s3_endpoint if scheme == "s3" else self._stores.minio_endpoint

    def _client(self, scheme: str, endpoint: str) -> "Minio":
        from services.kit.urls.buckets import amazon, minio  # noqa: PLC0415

        known, pool = self._stores, self._pool
        if scheme == "s3":
            return amazon(endpoint, pool, secure=known.s3_secure, region=known.s3_region)
        if scheme == "minio":
            return minio(endpoint, pool, known.minio_id, known.minio_secret, secure=known.minio_secure)
        return minio(endpoint, pool, MINIO_ACCOUNT, MINIO_ACCOUNT, secure=False)


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


def _bare(endpoint: str) -> str:
    return endpoint.removeprefix("https://").removeprefix("http://").rstrip("/")
