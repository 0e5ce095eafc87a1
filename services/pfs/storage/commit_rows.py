"""What a row of a commit holds, with the names that its repo and branch have now.

Elsewhere: which rows are asked for, and changing them (commits.py, operations/refs/listing.py).
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Select, select

from services.pfs.domain.commits import Commit, Origin, TreeRoot
from services.pfs.domain.keys import RepoKey
from services.pfs.storage.tables import BranchRow, CommitRow, RepoRow, table

_COMMIT, _REPO, _BRANCH = table(CommitRow), table(RepoRow), table(BranchRow)

COMMITS: Select[Any] = select(
    *_COMMIT.c, _REPO.c.project, _REPO.c.name.label("repo_name"), _REPO.c.type, _BRANCH.c.name.label("branch_name")
).select_from(
    _COMMIT.join(_REPO, _REPO.c.number == _COMMIT.c.repo_number).outerjoin(
        _BRANCH, _BRANCH.c.number == _COMMIT.c.branch_number
    )
)
"""Rows that `commit_of` understands; more may be asked of the commit."""


def commit_of(row: Row[Any]) -> Commit:
    """The commit that a row of COMMITS holds."""
    return Commit(
        number=row.number,
        repo=RepoKey(row.project, row.repo_name, row.type),
        repo_number=row.repo_number,
        id=row.id,
        branch=row.branch_name,
        branch_number=row.branch_number,
        parent=row.parent,
        origin=Origin(row.origin),
        description=row.description,
        started=row.started,
        finishing=row.finishing,
        finished=row.finished,
        error=row.error,
        root=_root_of(row),
        size_bytes=row.size_bytes,
        compacting=timedelta(microseconds=row.compacting_us),
        validating=timedelta(microseconds=row.validating_us),
        metadata=row.pairs,
        created_by=row.created_by,
        forgotten=row.forgotten,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _root_of(row: Row[Any]) -> TreeRoot | None:
    """Where the tree's root is, or None when the tree is empty or not there yet."""
    if row.root_id is None or row.root_pack is None:
        return None
    return TreeRoot(row.root_id, row.root_pack, row.root_offset, row.root_stored, row.root_codec, row.root_rows)


def root_columns(root: TreeRoot | None) -> dict[str, Any]:
    """The columns that say where a tree's root is."""
    return {
        "root_id": root.id if root else None,
        "root_pack": root.pack if root else None,
        "root_offset": root.offset if root else None,
        "root_stored": root.stored if root else None,
        "root_codec": root.codec if root else None,
        "root_rows": root.rows if root else None,
    }
