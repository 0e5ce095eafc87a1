"""Every status becomes the exception a Python user would catch, and keeps the server's code and words."""

from typing import Any

import grpc
import pytest

from datamill import errors

Code = grpc.StatusCode


class Answer(grpc.RpcError, grpc.Call):
    """A failed call as grpc raises it, without a server."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        self._code, self._text = code, text

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def initial_metadata(self) -> Any:
        return ()

    def trailing_metadata(self) -> Any:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> Any:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Any) -> bool:
        return False


@pytest.mark.parametrize(
    ("code", "kind", "builtin"),
    [
        (Code.NOT_FOUND, errors.NotFound, LookupError),
        (Code.ALREADY_EXISTS, errors.AlreadyExists, FileExistsError),
        (Code.INVALID_ARGUMENT, errors.Invalid, ValueError),
        (Code.OUT_OF_RANGE, errors.Invalid, ValueError),
        (Code.UNAVAILABLE, errors.Unavailable, ConnectionError),
        (Code.DEADLINE_EXCEEDED, errors.Timeout, TimeoutError),
        (Code.PERMISSION_DENIED, errors.PermissionDenied, PermissionError),
        (Code.UNAUTHENTICATED, errors.PermissionDenied, PermissionError),
        (Code.UNIMPLEMENTED, errors.Unsupported, NotImplementedError),
        (Code.RESOURCE_EXHAUSTED, errors.Exhausted, OSError),
        (Code.DATA_LOSS, errors.Corrupt, OSError),
        (Code.FAILED_PRECONDITION, errors.Refused, RuntimeError),
        (Code.UNKNOWN, errors.Failed, RuntimeError),
        (Code.INTERNAL, errors.Failed, RuntimeError),
        (Code.ABORTED, errors.Failed, RuntimeError),
        (Code.CANCELLED, errors.Cancelled, errors.DatamillError),
    ],
)
def test_each_status(code: grpc.StatusCode, kind: type[Exception], builtin: type[Exception]) -> None:
    raised = errors.translated(Answer(code, "these words"))
    assert type(raised) is kind
    assert isinstance(raised, builtin)
    assert raised.code is code
    assert raised.message == str(raised) == "these words"


def test_every_status_there_is_has_an_exception() -> None:
    for code in Code:
        assert isinstance(errors.translated(Answer(code, "x")), errors.DatamillError)


def test_a_missing_file_is_also_the_built_in() -> None:
    raised = errors.translated(Answer(Code.NOT_FOUND, "file /a.png not found in repo default/images at commit abc"))
    assert isinstance(raised, FileNotFoundError)
    assert isinstance(raised, errors.NotFound)
    assert not isinstance(errors.translated(Answer(Code.NOT_FOUND, "repo default/x not found")), FileNotFoundError)


def test_nobody_there_names_the_address() -> None:
    raised = errors.translated(Answer(Code.UNAVAILABLE, "failed to connect to all addresses; x"), "grpc://here:1")
    assert str(raised) == "no datamill answers at grpc://here:1"


def test_a_status_without_words_says_its_name() -> None:
    assert str(errors.translated(Answer(Code.DEADLINE_EXCEEDED, ""))) == "deadline exceeded"
