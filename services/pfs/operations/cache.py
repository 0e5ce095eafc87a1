"""The cache of whoever works on commits: values by key, with the file sets they speak of kept alive.

Elsewhere: rows and their limits (storage/cache.py).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from services.pfs.domain.errors import Malformed
from services.pfs.domain.files.file_errors import NotCached
from services.pfs.operations.files.filesets import checked_id
from services.pfs.storage.cache import CacheStore


def put_cache(tx: Session, key: str, value: bytes, file_sets: Sequence[str], tag: str, *, now: datetime) -> None:
    """Keep a value unless there is one of that key. Raises Malformed, BadFileSetId, PathMissing."""
    _check(key, tag)
    CacheStore(tx).add(key, value, list(map(checked_id, file_sets)), tag=tag, now=now)


def get_cache(tx: Session, key: str, *, now: datetime) -> bytes:
    """Raises Malformed, NotCached."""
    _check(key)
    value = CacheStore(tx).get(key, now)
    if value is None:
        raise NotCached(key)
    return value


def clear_cache(tx: Session, tag_prefix: str, *, now: datetime) -> None:
    """Forget every entry whose tag begins so. Raises Malformed."""
    _check(tag_prefix)
    CacheStore(tx).clear(tag_prefix, now)


def _check(*texts: str) -> None:
    if any("\0" in text for text in texts):
        raise Malformed("keys and tags of the cache hold no zero byte")
