"""Objects in buckets, through the minio client: reading one or all that begin alike, and writing.

A read that breaks off goes on where it stopped, as long as the object is the same one.
Elsewhere: the service's own store (kit/objects/s3.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError

from services.kit.urls.connections import arriving, plainly
from services.kit.urls.port import DeliveryFailed, Item, NothingThere, RetrievalFailed

PART_BYTES = 16 << 20
BREAKS = 5  # so often in a row without a byte between, reading is given up


@dataclass(frozen=True)
class Bucket:
    """A place in a bucket. key: an object's, or the beginning of keys; url: how callers wrote it."""

    url: str
    client: Minio
    name: str
    key: str
    recursive: bool = False

    def items(self) -> Iterator[Item]:
        with self._asked(self.url):
            if not self.recursive:
                if not self.key:
                    raise NothingThere(self.url)
                found = self.client.stat_object(self.name, self.key)
                yield Item("", found.size, partial(self._read, self.key, found.size or 0, found.etag or ""))
                return
            for one in self.client.list_objects(self.name, prefix=self.key, recursive=True):
                key = str(one.object_name)
                if not key.endswith("/"):  # such objects stand for folders
                    yield Item(key[len(self.key) :], one.size, partial(self._read, key, one.size or 0, one.etag or ""))

    def put(self, name: str, size: int, pieces: Iterator[bytes]) -> None:
        key = f"{self.key.rstrip('/')}/{name}" if self.key.rstrip("/") else name
        try:
            data: Any = _Reader(pieces)
            self.client.put_object(self.name, key, data, size, part_size=PART_BYTES, num_parallel_uploads=1)
        except (MinioException, HTTPError, ValueError) as error:
            raise DeliveryFailed(self._named(key), said(error)) from error

    def _read(self, key: str, size: int, etag: str) -> Iterator[bytes]:
        done = breaks = 0
        with self._asked(self._named(key)):
            while done < size:
                answer = self.client.get_object(self.name, key, offset=done)
                try:
                    if etag and answer.headers.get("etag", "").strip('"') not in {"", etag}:
                        raise RetrievalFailed(self._named(key), "it changed while it was read")
                    for piece in arriving(answer):
                        done, breaks = done + len(piece), 0 if piece else breaks
                        yield piece
                except HTTPError:
                    breaks += 1
                    if breaks == BREAKS:
                        raise
                finally:
                    answer.close()
                    answer.release_conn()
                if not breaks and done < size:
                    raise RetrievalFailed(self._named(key), f"it ends after {done} of {size} bytes")

    def _named(self, key: str) -> str:
        return f"{self.url.partition('://')[0]}://{self.name}/{key}"

    @contextmanager
    def _asked(self, url: str) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            if error.code in {"NoSuchKey", "NoSuchObject", "NoSuchBucket"}:
                raise NothingThere(url) from error
            raise RetrievalFailed(url, said(error)) from error
        except (MinioException, HTTPError) as error:
            raise RetrievalFailed(url, said(error)) from error


def said(error: Exception) -> str:
    """What a store's refusal comes to, in a line."""
    if isinstance(error, S3Error):
        return f"{error.code}: {error.message}"
    if isinstance(error, ServerError | InvalidResponseError):
        return str(error).partition("\n")[0]
    return plainly(error)


class _Reader:
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        found: list[bytes] = []
        missing = size if size >= 0 else 1 << 62
        while missing:
            if not self._rest:
                following = next(self._pieces, None)
                if following is None:
                    break
                self._rest = memoryview(following)
                continue
            found.append(bytes(self._rest[:missing]))
            self._rest = self._rest[missing:]
            missing -= len(found[-1])
        return b"".join(found)
