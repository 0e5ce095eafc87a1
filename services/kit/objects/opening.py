"""From an address to its store, looked at once so that a wrong setting is told at start."""

from services.kit.config import ConfigError
from services.kit.objects.address import BadAddress, Bucket, parse
from services.kit.objects.local import LocalObjects
from services.kit.objects.port import Objects


def open_store(address: str) -> Objects:
    """The store at `address`. Blocks. Raises ConfigError for what cannot be right, Unavailable when it is away."""
    try:
        where = parse(address)
    except BadAddress as mistake:
        raise ConfigError(f"bad store: {mistake}") from mistake
    if isinstance(where, Bucket):
        from services.kit.objects.s3 import S3Objects  # noqa: PLC0415 - its client is a tenth of a start, for nothing here

        store = S3Objects(where)
        store.check()
        return store
    try:
        return LocalObjects(where.path)
    except OSError as error:
        raise ConfigError(f"bad store: {where.path} cannot be used: {error.strerror}") from error
