"""What can go wrong with files and file sets. Deployed clients match on the sentences.

Elsewhere: bad paths (paths.py), bad patterns (globs.py), commits (errors.py).
"""

from services.kit.errors import Invalid, NotFound, Problem
from services.pfs.domain.keys import CommitRef


class FileNotFound(NotFound):
    """path: as the caller wrote it; commit: as the caller referred to it."""

    def __init__(self, path: str, commit: CommitRef) -> None:
        super().__init__(f"file {path} not found in repo {commit.repo} at commit {commit.id}")


class PathNotInCommit(NotFound):
    def __init__(self, path: str, commit: CommitRef) -> None:
        super().__init__(f"commit/{commit.id} does not contain item: ({path})")


class NotARegularFile(Problem):
    def __init__(self) -> None:
        super().__init__("cannot get directory or non-regular file. Use GetFileTAR instead")


class SeveralFiles(Problem):
    def __init__(self) -> None:
        super().__init__("matched multiple files. Use GetFileTAR instead")


class BadPage(Problem):
    """A page of files that cannot be given."""


class BadStream(Problem):
    """A stream of writes that breaks the rules of its messages."""


class PathMissing(Problem):
    """An unknown or expired file set."""

    def __init__(self) -> None:
        super().__init__("path does not exist")


class FileSetExpired(NotFound):
    def __init__(self, id: str) -> None:
        super().__init__(f"tracker does not contain item: ({id})")


class NotCached(Problem):
    def __init__(self, key: str) -> None:
        super().__init__(f"no rows in result set: nothing is cached under {key!r}")


class BadFileSetId(Problem):
    def __init__(self, id: str) -> None:
        why = "short" if len(id) < 32 else "long"
        super().__init__(f"parsing fileset.Token: too {why}: {len(id)} characters")


class BadTtl(Problem):
    """A time to live that is too short or too long. The protocol prints nanoseconds."""


class BadEntry(Invalid):
    """An entry that names content which is not there, or is not what it says."""
