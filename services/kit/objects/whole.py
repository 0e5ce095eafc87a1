"""One object by one PUT, of which every byte is touched once before it is sent.

The minio client would take the bytes together in one piece, and then their SHA-256 for the signature (their MD5, over
TLS). Here the signature covers headers only, and one of these is the CRC-32 that the server holds the bytes against.
Elsewhere: everything else that is asked of a bucket, and what is made of errors (s3.py).
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from urllib.parse import SplitResult, parse_qs, urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from isal.isal_zlib import crc32  # a fifth of the time of the standard library's
from minio import Minio
from minio.credentials.providers import Provider
from minio.error import InvalidResponseError, MinioException, S3Error
from minio.signer import sign_v4_s3

from services.kit.objects.port import Piece

SEND_BYTES = 256 << 10  # a socket's timeout is for so many


class WholePuts:
    """Puts objects whose names begin with `prefix`. Safe for several threads."""

    def __init__(
        self, client: Minio, http: urllib3.PoolManager, credentials: Provider, *, bucket: str, prefix: str
    ) -> None:
        self._client, self._http, self._credentials = client, http, credentials
        self._bucket, self._prefix = bucket, prefix

    def put(self, key: str, pieces: Sequence[Piece], *, query: str = "") -> None:
        """Store the pieces, one after another, as prefix + key. query: a part's. Raises what minio raises."""
        base, region = self._place
        url = base._replace(path=base.path + key, query=query)
        now, who = datetime.now(UTC), self._credentials.retrieve()
        headers: dict[str, str | list[str] | tuple[str]] = {
            "Host": url.netloc,
            "Content-Type": "application/octet-stream",
            "Content-Length": str(sum(map(len, pieces))),
            **(_checksum(pieces) if not query else _part_checksum(pieces)),
            "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        }
        if who.session_token:
            headers["x-amz-security-token"] = who.session_token
        signed = sign_v4_s3(
            method="PUT", url=url, region=region, headers=headers, credentials=who,
            content_sha256="UNSIGNED-PAYLOAD", date=now,
        )  # fmt: skip
        plain = {name: str(value) for name, value in signed.items()}
        answer = self._http.urlopen("PUT", url.geturl(), body=_small(pieces), headers=plain)
        if answer.status != 200:
            raise _refusal(answer)

    @cached_property
    def _place(self) -> tuple[SplitResult, str]:
        """The URL that keys are put behind, and the region: as the minio client has found them for this bucket."""
        signed = urlsplit(self._client.get_presigned_url("PUT", self._bucket, self._prefix + "x"))
        region = parse_qs(signed.query)["X-Amz-Credential"][0].split("/")[2]
        return signed._replace(path=signed.path.removesuffix("x"), query=""), region


def _checksum(pieces: Iterable[Piece]) -> dict[str, str]:
    return {"x-amz-checksum-crc32": b64encode(_crc32(pieces).to_bytes(4, "big")).decode()}


def _part_checksum(pieces: Iterable[Piece]) -> dict[str, str]:
    """Parts may have other checksums only if their upload was begun so, and then all of them must."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return {"Content-MD5": b64encode(digest.digest()).decode()}


def _crc32(pieces: Iterable[Piece]) -> int:
    value = 0
    for piece in pieces:
        value = crc32(piece, value)
    return value


def _small(pieces: Iterable[Piece]) -> Iterator[memoryview]:
    """The same bytes in pieces that a slow line takes within a socket's timeout."""
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), SEND_BYTES):
            yield view[start : start + SEND_BYTES]


def _refusal(answer: urllib3.BaseHTTPResponse) -> MinioException:
    """What the minio client would raise."""
    kind = answer.headers.get("content-type", "")
    if answer.data and "application/xml" in kind.split(";"):
        try:
            return S3Error.fromxml(answer)
        except ParseError:
            pass
    return InvalidResponseError(answer.status, kind, answer.data.decode(errors="replace") or None)
