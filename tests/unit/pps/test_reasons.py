"""Why a worker ended."""

import errno
from pathlib import Path

import pytest

from services.pps.runtimes.reasons import LONGEST, why_ended, why_not_started

LINE = '{"at": "now", "level": "error", "message": "there is no store"}'


@pytest.mark.parametrize(
    ("code", "last", "wanted"),
    [
        (1, LINE, "there is no store"),
        (1, "ModuleNotFoundError: No module named 'grpc'", "ModuleNotFoundError: No module named 'grpc'"),
        (3, "", "the worker ended with code 3"),
        (-15, "", "the worker was killed by SIGTERM"),
        (137, LINE, "the worker was killed by SIGKILL, as the system does when memory runs out; the last it said was: "
                    "there is no store"),
        (255, "", "the worker ended with code 255"),
        (1, "[]", "[]"),
    ],
)  # fmt: skip
def test_reasons(code: int, last: str, wanted: str) -> None:
    assert why_ended(code, last) == wanted


def test_a_reason_is_no_novel() -> None:
    assert len(why_ended(137, "x" * 5000)) == LONGEST


def test_a_full_disk_is_said_in_words_with_its_place() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert why_not_started(full, Path("/run/workers")) == (
        "no worker can be started in /run/workers: there is no room left on the disk; it is tried again"
    )
    assert why_not_started(OSError("something else"), Path("/run/workers")) == "something else"
