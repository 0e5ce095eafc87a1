"""What is in a job's way, in words for whoever reads its log: what is away, and where that is.

Elsewhere: which troubles are forgiven (driver.py).
"""

from pathlib import Path

import grpc
from nats.errors import Error as NatsError

from services.kit.errors import Exhausted, Unavailable


def in_words(cause: BaseException, store: Path | None) -> str:
    """store: the folder of Jobs' store, None for a bucket."""
    match cause:
        case grpc.aio.AioRpcError():
            return f"a service does not answer as it should ({cause.code().name}: {cause.details()})"
        case NatsError() | TimeoutError():
            return f"NATS, or a service, does not answer ({cause!r})"
        case Unavailable() | Exhausted():
            return f"{cause}; {_place(store)}"
        case OSError():
            where = "" if cause.filename is None else f" at {cause.filename}"
            return f"a file of the store cannot be used{where} ({cause.strerror or cause!r}); {_place(store)}"
        case _:
            return str(cause) or repr(cause)


def _place(store: Path | None) -> str:
    return "the store is a bucket" if store is None else f"the store is the folder {store}"
