"""Objects in an S3 bucket, through the minio client: one PUT each (whole.py), or in parts when they are big.

A call that meets no answer, a broken one or a status of 5xx is made again, after pauses that grow, as long as
the address allows; then it raises Unavailable. Objects travel with a checksum that the store holds them against;
those in parts are compared by the ETag afterwards. Elsewhere: addresses (address.py); who signed URLs are for (PFS).
"""

import hashlib
import io
import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.credentials.providers import AWSConfigProvider, ChainedProvider, EnvAWSProvider
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError

from services.kit.config import ConfigError
from services.kit.errors import Corrupt, Exhausted, Unavailable
from services.kit.objects.address import ACCESS_KEY, SECRET_KEY, Bucket
from services.kit.objects.port import Data, ObjectMissing, pieces_of
from services.kit.objects.sendings import Sendings
from services.kit.objects.whole import SEND_BYTES, WholePuts

log = logging.getLogger(__name__)
T = TypeVar("T")
PART_BYTES = 16 << 20
WHOLE_BYTES = 32 << 20  # a pack is a little over 16 MiB: two parts would take four requests where one does
CONNECTIONS = 32
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 20.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
FULL = {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage", "StorageFull"}
AGAIN = {"BadDigest", "IncompleteBody", "InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"}
AGAIN |= {"OperationAborted", "XAmzContentSHA256Mismatch", "NoSuchUpload"}  # an upload that is gone is begun anew
AGAIN |= {"InvalidPart"}  # it was sent again just then
REFUSED = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "NoSuchBucket",
}


class S3Objects:
    """Objects below a prefix of a bucket. Safe for several threads."""

    def __init__(self, where: Bucket) -> None:
        self._where = where
        credentials = ChainedProvider([EnvAWSProvider(), AWSConfigProvider()])
        http = _Connections(
            maxsize=CONNECTIONS,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
            retries=urllib3.Retry(0, redirect=False),
            blocksize=SEND_BYTES,
        )
        self._client = Minio(
            where.endpoint,
            secure=where.secure,
            region=where.region or None,
            credentials=credentials,
            http_client=http,
        )
        self._whole = WholePuts(self._client, http, credentials, bucket=where.name, prefix=where.prefix)
        self._sendings = Sendings(self._client, bucket=where.name, prefix=where.prefix)

    @property
    def root(self) -> Path | None:
        return None

    def check(self) -> None:
        """Look whether the bucket is there and ours. Raises ConfigError or Unavailable, in words for the operator."""
        try:
            found = self._persist(lambda: self._client.bucket_exists(self._where.name), "")
        except ValueError as error:  # the client's own: no credentials anywhere
            raise ConfigError(f"store {self._where}: set {ACCESS_KEY} and {SECRET_KEY}") from error
        except S3Error as error:
            raise ConfigError(f"store {self._where} refuses: {_said(error)}; see {ACCESS_KEY}, {SECRET_KEY}") from error
        if not found:
            raise ConfigError(f"store {self._where}: there is no bucket {self._where.name}; make it first")

    def spread(self, *prefixes: str) -> None:
        """Nothing: keys need no folders."""

    def put(self, key: str, data: Data) -> None:
        pieces = pieces_of(data)
        if (size := sum(map(len, pieces))) <= WHOLE_BYTES:
            self._persist(lambda: self._whole.put(key, pieces), key)
        else:
            self._persist(lambda: self._in_parts(key, io.BytesIO(b"".join(pieces)), size), key)

    def adopt(self, key: str, path: Path) -> None:
        if self.size(key) is None:
            with open(path, "rb") as file:
                size = path.stat().st_size
                self._persist(lambda: self._adopted(key, file, size), key)
        path.unlink(missing_ok=True)

    def move(self, source: str, key: str) -> None:
        def copied() -> None:
            self._client.copy_object(
                self._where.name, self._name(key), CopySource(self._where.name, self._name(source))
            )

        self._persist(copied, source)
        self.delete(source)

    def get(self, key: str) -> bytes:
        return self._persist(lambda: self._read(key, 0, 0), key)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        if not length:
            return b""
        data = self.get_up_to(key, offset, length)
        if len(data) < length:
            raise Corrupt(f"object {key} ends before byte {offset + length}")
        return data

    def get_up_to(self, key: str, offset: int, length: int) -> bytes:
        try:
            return self._persist(lambda: self._read(key, offset, length), key)
        except S3Error as error:
            if error.code == "InvalidRange":
                return b""
            raise

    def size(self, key: str) -> int | None:
        def asked() -> int:
            return int(self._client.stat_object(self._where.name, self._name(key)).size or 0)

        try:
            return self._persist(asked, key)
        except ObjectMissing:
            return None

    def delete(self, key: str) -> None:
        self._persist(lambda: self._client.remove_object(self._where.name, self._name(key)), key)

    def begin_sending(self, key: str) -> str | None:
        return self._persist(lambda: self._sendings.begin(key), key)

    def sending_url(self, key: str, id: str, lifetime: timedelta) -> str:
        return self._persist(lambda: self._sendings.url(key, id, lifetime), key)

    def send(self, key: str, id: str, data: Data) -> None:
        self._persist(lambda: self._whole.put(key, pieces_of(data), query=self._sendings.query(id)), key)

    def finish_sending(self, key: str, id: str) -> bool:
        return self._persist(lambda: self._sendings.finish(key, id), key)

    def drop_sendings(self, prefix: str, begun_before: datetime) -> int:
        return self._persist(lambda: self._sendings.drop(prefix, begun_before), prefix or "/")

    def signed_get(self, key: str, lifetime: timedelta) -> str | None:
        sign = self._client.get_presigned_url
        return self._persist(lambda: str(sign("GET", self._where.name, self._name(key), lifetime)), key)

    def _adopted(self, key: str, file: BinaryIO, size: int) -> None:
        if size <= WHOLE_BYTES:
            file.seek(0)
            self._whole.put(key, (file.read(),))
        else:
            self._in_parts(key, file, size)

    def _in_parts(self, key: str, data: BinaryIO, size: int) -> None:
        data.seek(0)
        parts = _Parts(data)
        stream: Any = parts
        done = self._client.put_object(self._where.name, self._name(key), stream, size, part_size=PART_BYTES)
        digest, _, count = str(done.etag or "").partition("-")
        if count and len(digest) == 32 and f"{digest}-{count}" != parts.etag:
            raise _Damaged(f"object {key} did not arrive as it was sent")

    def _read(self, key: str, offset: int, length: int) -> bytes:
        answer = self._client.get_object(self._where.name, self._name(key), offset, length)
        try:
            data: bytes = answer.read()
        except BaseException:
            answer.close()  # what is left of it must not be taken for the next answer
            raise
        finally:
            answer.release_conn()
        return data

    def _name(self, key: str) -> str:
        return self._where.prefix + key

    def _persist(self, attempt: Callable[[], T], key: str) -> T:
        """Make a call, again and again while that may help. Raises ObjectMissing, Exhausted, Unavailable."""
        deadline, pause = time.monotonic() + self._where.patience, FIRST_PAUSE
        while True:
            try:
                return attempt()
            except (MinioException, HTTPError, _Damaged) as error:
                if isinstance(error, S3Error) and error.code in {"NoSuchKey", "NoSuchObject"}:
                    raise ObjectMissing(key) from error
                if _status(error) == 507 or getattr(error, "code", "") in FULL:
                    raise Exhausted(f"the store {self._where} is full: {_said(error)}") from error
                if not _passing(error):
                    if isinstance(error, S3Error) and error.code in REFUSED and key:
                        raise Unavailable(f"the store {self._where} refuses: {_said(error)}") from error
                    raise
                if time.monotonic() + pause > deadline:
                    how = "fails" if _status(error) else "does not answer"
                    raise Unavailable(f"the store {self._where} {how}: {_said(error)}") from error
                log.warning("the store is in trouble, trying again: %s", _said(error))
            time.sleep(pause * random.uniform(0.7, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)


class _Damaged(Exception):
    """An object arrived otherwise than it was sent."""


class _Parts:
    """A file that is read part by part, of which the ETag is worked out as S3 does it."""

    def __init__(self, file: Any) -> None:
        self._file, self._part, self._left = file, hashlib.md5(usedforsecurity=False), PART_BYTES
        self._digests: list[bytes] = []

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(min(size, self._left))
        self._part.update(data)
        self._left -= len(data)
        if not self._left:
            self._digests.append(self._part.digest())
            self._part, self._left = hashlib.md5(usedforsecurity=False), PART_BYTES
        return data

    @property
    def etag(self) -> str:
        digests = self._digests + ([self._part.digest()] if self._left < PART_BYTES else [])
        return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


class _Connections(urllib3.PoolManager):
    """Sends bodies piece by piece: a socket's timeout is for one piece then, not for a whole pack on a slow line."""

    def urlopen(  # type: ignore[override]  # as minio calls it
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> urllib3.BaseHTTPResponse:
        body = kw.get("body")
        if isinstance(body, bytes) and len(body) > SEND_BYTES:
            kw["body"] = io.BytesIO(body)
        return super().urlopen(method, url, redirect, **kw)


def _status(error: BaseException) -> int:
    """The HTTP status an error came with; 0 when there was none."""
    if isinstance(error, S3Error):
        return int(error.response.status)
    if isinstance(error, ServerError):
        return int(error.status_code)
    return int(getattr(error, "_code", 0)) if isinstance(error, InvalidResponseError) else 0


def _passing(error: BaseException) -> bool:
    """Whether the same call may work a little later."""
    if isinstance(error, MinioException):
        return _status(error) >= 500 or _status(error) == 429 or getattr(error, "code", "") in AGAIN
    return True  # no whole answer came


def _said(error: BaseException) -> str:
    """What the store, or the network, said; without the ids that minio adds."""
    if isinstance(error, S3Error):
        return f"{error.code} ({error.message})" if error.message else str(error.code)
    if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason is not None:
        return str(error.reason).rpartition(": ")[2]
    return str(error)
