"""What is reached by HTTP: pages, and buckets of object stores.

Elsewhere: which address is meant (opening.py); what it may be (rules.py); reading and writing (web.py, buckets.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from minio import Minio
from minio.credentials.providers import AWSConfigProvider, ChainedProvider, EnvAWSProvider

from services.kit.urls.buckets import Bucket
from services.kit.urls.connections import connections
from services.kit.urls.port import BadUrl
from services.kit.urls.rules import Rules
from services.kit.urls.web import Page

AMAZON, MINIO, MINIO_ACCOUNT = "s3.amazonaws.com", "localhost:9000", "minioadmin"
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


class Far:
    """Pages and buckets, over one pool of connections that the rules hold for."""

    def __init__(self, rules: Rules, environ: Mapping[str, str]) -> None:
        self._rules, self._stores, self._pool = rules, Stores.of(environ), connections(rules)

    def page(self, url: str) -> Page:
        return Page(url, self._rules, self._pool)

    def bucket(self, url: str, scheme: str, *, recursive: bool = False) -> Bucket:
        """scheme: s3, minio or test-minio. Raises BadUrl, UrlRefused."""
        rest, endpoint = url.partition("://")[2], self._endpoint(scheme)
        if scheme == "test-minio":
            endpoint, _, rest = rest.partition("/")
            self._rules.check_host(endpoint.partition(":")[0], url)
        name, _, key = rest.partition("/")
        if not name:
            raise BadUrl(url, "it names no bucket")
        self._rules.check_bucket(scheme, endpoint, name, url)
        try:
            return Bucket(url, self._client(scheme, endpoint), name, key, recursive)
        except ValueError as error:
            raise BadUrl(url, str(error)) from error

    def _endpoint(self, scheme: str) -> str:
        return self._stores.s3_endpoint if scheme == "s3" else self._stores.minio_endpoint

    def _client(self, scheme: str, endpoint: str) -> Minio:
        known, pool = self._stores, self._pool
        if scheme == "s3":
            credentials, region = _credentials(), known.s3_region or None
            return Minio(endpoint, secure=known.s3_secure, region=region, credentials=credentials, http_client=pool)
        if scheme == "minio":
            return Minio(endpoint, known.minio_id, known.minio_secret, secure=known.minio_secure, http_client=pool)
        return Minio(endpoint, MINIO_ACCOUNT, MINIO_ACCOUNT, secure=False, http_client=pool)


def _credentials() -> ChainedProvider | None:
    """Those that Amazon's tools would find; None: there are none, and public buckets can be read all the same."""
    found = ChainedProvider([EnvAWSProvider(), AWSConfigProvider()])
    try:
        found.retrieve()
    except ValueError:
        return None
    return found


def _bare(endpoint: str) -> str:
    return endpoint.removeprefix("https://").removeprefix("http://").rstrip("/")
