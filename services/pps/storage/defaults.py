"""Rows of defaults, inside the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from services.pps.storage.tables import DefaultsRow


@dataclass(frozen=True)
class DefaultsStore:
    """Never commits. project: "" stands for the defaults of all projects."""

    tx: Session

    def row(self, project: str) -> DefaultsRow | None:
        return self.tx.get(DefaultsRow, project)

    def put(self, project: str, document: str, at: datetime) -> None:
        self.tx.merge(DefaultsRow(project=project, document=document, at=at))
