"""The pairs of rows that have them, and of the instance, inside the caller's transaction."""

import json
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from services.pfs.domain.commits import BranchNumber, CommitNumber, RepoNumber
from services.pfs.storage.tables import BranchRow, CommitRow, InstanceRow, ProjectRow, RepoRow

INSTANCE = "metadata"


def keep_project_pairs(tx: Session, name: str, pairs: dict[str, str]) -> None:
    tx.execute(update(ProjectRow).where(ProjectRow.name == name).values(pairs=pairs))


def keep_repo_pairs(tx: Session, number: RepoNumber, pairs: dict[str, str]) -> None:
    tx.execute(update(RepoRow).where(RepoRow.number == number).values(pairs=pairs))


def keep_branch_pairs(tx: Session, number: BranchNumber, pairs: dict[str, str], now: datetime) -> None:
    tx.execute(update(BranchRow).where(BranchRow.number == number).values(pairs=pairs, updated_at=now))


def keep_commit_pairs(tx: Session, number: CommitNumber, pairs: dict[str, str], now: datetime) -> None:
    tx.execute(update(CommitRow).where(CommitRow.number == number).values(pairs=pairs, updated_at=now))


def instance_pairs(tx: Session) -> dict[str, str]:
    """Of the instance as a whole."""
    row = tx.get(InstanceRow, INSTANCE)
    return dict(json.loads(row.value)) if row else {}


def keep_instance_pairs(tx: Session, pairs: dict[str, str]) -> None:
    tx.merge(InstanceRow(name=INSTANCE, value=json.dumps(pairs)))
    tx.flush()
