"""Which names projects, repos and branches may have, and what the id of a commit set looks like.

Elsewhere: paths of files (files/paths.py); names that are put together (keys.py).
"""

import re

from services.kit.errors import Problem

MAX_PROJECT_NAME_BYTES = 51  # a 63-byte label of the old scheduler, less what it put around the name
DEFAULT_PROJECT = "default"
FILESETS_REPO = "__filesets__"  # file sets are readable as if they were commits of this repo

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_ID = re.compile(r"[0-9a-f]{12}4[0-9a-f]{19}")


class BadName(Problem):
    """A name that does not follow the rules."""


def is_id(text: str) -> bool:
    """Whether `text`, in lower case, has the form of a commit set id."""
    return _ID.fullmatch(text) is not None


def check_name(name: str) -> None:
    """Letters, digits, "_" and "-". Raises BadName."""
    if _NAME.fullmatch(name) is None:
        raise BadName(f"name ({name}) invalid: only alphanumeric characters, underscores, and dashes are allowed")


def check_repo_name(name: str) -> None:
    """Raises BadName."""
    if name == FILESETS_REPO:
        raise BadName(f"{FILESETS_REPO} is a reserved name")
    check_name(name)


def check_branch_name(name: str) -> None:
    """A branch must not look like an id, in capitals or not: references could not tell them apart. Raises BadName."""
    check_name(name)
    if is_id(name.lower()):
        raise BadName("branch name cannot be a UUID V4")


def check_project_name(name: str) -> None:
    """Raises BadName."""
    try:
        check_name(name)
    except BadName as bad:
        raise BadName(f"invalid project name: {bad}") from None
    if not name[0].isalnum():
        raise BadName(f"invalid project name: project name {name!r} must start with an alphanumeric character")
    if (excess := len(name) - MAX_PROJECT_NAME_BYTES) > 0:
        raise BadName(
            f'invalid project name: project name "{name}" is {excess} characters longer than the '
            f"{MAX_PROJECT_NAME_BYTES} max"
        )
