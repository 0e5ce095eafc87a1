"""Objects that somebody else sends to a bucket: uploads of one part, begun and completed here, sent by a signed URL.

An object that is completed has its own name at once, without a copy, and the URL is worth nothing from then on. The
minio client names these calls with an underscore; it is kept at one version (requirements).
Elsewhere: what is made of errors (s3.py).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import quote

from minio import Minio
from minio.datatypes import Part, Upload
from minio.error import MinioException, S3Error

ONLY_PART = 1
_GONE = {"NoSuchUpload", "NoSuchKey"}


class NotCompleted(MinioException):
    """The store began to answer well, and could not do it after all."""


class Sendings:
    """Of objects whose names begin with `prefix`. Raises what the minio client raises. Safe for several threads."""

    def __init__(self, client: Minio, *, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix

    def begin(self, key: str) -> str:
        """The id of a new one."""
        return self._client._create_multipart_upload(self._bucket, self._prefix + key, {})

    def query(self, id: str) -> str:
        """What follows the address of the object where it is sent."""
        return f"partNumber={ONLY_PART}&uploadId={quote(id, safe='')}"

    def url(self, key: str, id: str, lifetime: timedelta) -> str:
        """Where it is sent."""
        what: dict[str, str | list[str] | tuple[str]] = {"uploadId": id, "partNumber": str(ONLY_PART)}
        name = self._prefix + key
        return str(self._client.get_presigned_url("PUT", self._bucket, name, lifetime, extra_query_params=what))

    def finish(self, key: str, id: str) -> bool:
        """As of Objects."""
        name = self._prefix + key
        try:
            parts = self._client._list_parts(self._bucket, name, id).parts
            if not parts:
                return False
            sent = [Part(part.part_number, part.etag.strip('"')) for part in parts]
            if not self._client._complete_multipart_upload(self._bucket, name, id, sent).etag:
                raise NotCompleted(f"object {key} was not completed")
        except S3Error as error:
            if error.code in _GONE:
                return False
            raise
        return True

    def drop(self, prefix: str, begun_before: datetime) -> int:
        """As of Objects."""
        count = 0
        for upload in self._open(prefix):
            if upload.initiated_time is not None and upload.initiated_time < begun_before:
                self._client._abort_multipart_upload(self._bucket, upload.object_name, str(upload.upload_id))
                count += 1
        return count

    def _open(self, prefix: str) -> Iterator[Upload]:
        after: str | None = None
        while True:
            some = self._client._list_multipart_uploads(self._bucket, prefix=self._prefix + prefix, key_marker=after)
            yield from some.uploads
            after = some.next_key_marker
            if not some.is_truncated or not after:
                return
