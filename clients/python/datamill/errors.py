"""What can go wrong, as exceptions that are also the built-in a Python user would expect.

A status of the server becomes one of these in `translated`, and nowhere else. `code` and `message` are the server's.
Raised locally too: `Invalid` for a name that cannot be right, `Unavailable` when nothing answers.
"""

import re

import grpc


class DatamillError(Exception):
    """Something the server, or the way to it, said no to."""

    code = grpc.StatusCode.UNKNOWN

    def __init__(self, message: str, code: grpc.StatusCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message


class Failed(DatamillError, RuntimeError):
    """The server refused, and its status says no more than that (UNKNOWN, INTERNAL, ABORTED)."""


class NotFound(DatamillError, LookupError):
    """No such thing."""

    code = grpc.StatusCode.NOT_FOUND


class FileMissing(NotFound, FileNotFoundError):
    """No such file in the commit."""


class AlreadyExists(DatamillError, FileExistsError):
    """The thing is there already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class Invalid(DatamillError, ValueError):
    """The request itself is wrong."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class Refused(DatamillError, RuntimeError):
    """Right question, wrong state: asking again will not help."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Unavailable(DatamillError, ConnectionError):
    """Nobody answers, or a part of the server is away for now."""

    code = grpc.StatusCode.UNAVAILABLE


class Timeout(DatamillError, TimeoutError):
    """No answer within the time given."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class PermissionDenied(DatamillError, PermissionError):
    """The caller may not do this, or did not say who it is."""

    code = grpc.StatusCode.PERMISSION_DENIED


class Exhausted(DatamillError, OSError):
    """No room or quota left, for example a full disk."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unsupported(DatamillError, NotImplementedError):
    """This server does not offer the method."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Corrupt(DatamillError, OSError):
    """Bytes are not what their hash says."""

    code = grpc.StatusCode.DATA_LOSS


class Cancelled(DatamillError):
    """The call was given up on this side."""

    code = grpc.StatusCode.CANCELLED


_OWN: tuple[type[DatamillError], ...] = (
    NotFound,
    AlreadyExists,
    Invalid,
    Refused,
    Unavailable,
    Timeout,
    PermissionDenied,
    Exhausted,
    Unsupported,
    Corrupt,
    Cancelled,
)
KINDS: dict[grpc.StatusCode, type[DatamillError]] = {
    **{kind.code: kind for kind in _OWN},
    grpc.StatusCode.OUT_OF_RANGE: Invalid,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDenied,
}
FILE_MISSING = re.compile(r"\bfile .+ not found|does not contain item", re.DOTALL)


def translated(error: grpc.RpcError, address: str = "") -> DatamillError:
    """The exception that stands for a failed call. address: named when nothing answered there."""
    if not isinstance(error, grpc.Call):
        return Failed(str(error))
    code, text = error.code(), error.details() or ""
    kind = KINDS.get(code, Failed)
    if kind is NotFound and FILE_MISSING.search(text):
        kind = FileMissing
    if kind is Unavailable and _nobody_there(text):
        text = f"no datamill answers at {address}" if address else text
    return kind(text or code.name.lower().replace("_", " "), code)


def _nobody_there(text: str) -> bool:
    signs = (
        "failed to connect to all addresses",
        "Connection refused",
        "DNS resolution",
        "No address",
        "Socket closed",
    )
    return any(sign in text for sign in signs)
