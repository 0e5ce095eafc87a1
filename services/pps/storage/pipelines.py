"""Rows of pipelines and versions, inside the caller's transaction."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, select, tuple_
from sqlalchemy.orm import Session

from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import MAY_HAVE_WORKERS, Pipeline, State, Version
from services.pps.storage.crons import CronStore
from services.pps.storage.tables import PipelineRow, VersionRow


@dataclass(frozen=True)
class PipelineStore:
    """Never commits."""

    tx: Session

    def row(self, key: PipelineKey) -> PipelineRow | None:
        return self.tx.get(PipelineRow, tuple(key))

    def add(self, row: PipelineRow) -> None:
        self.tx.add(row)
        self.tx.flush()

    def add_version(self, version: Version) -> None:
        self.tx.add(
            VersionRow(
                project=version.key.project,
                name=version.key.name,
                version=version.number,
                token=version.token,
                spec_commit=version.spec_commit,
                salt=version.salt,
                spec_json=json.dumps(version.spec),
                user_json=version.user_json,
                effective_json=version.effective_json,
                at=version.at,
            )
        )

    def version_row(self, key: PipelineKey, number: int) -> VersionRow | None:
        return self.tx.get(VersionRow, (*key, number))

    def version(self, key: PipelineKey, number: int) -> Version | None:
        row = self.version_row(key, number)
        return version_of(row) if row else None

    def has_token(self, key: PipelineKey, token: str) -> bool:
        """Whether the version that was given this token is kept."""
        where = (VersionRow.project == key.project, VersionRow.name == key.name, VersionRow.token == token)
        return self.tx.scalar(select(VersionRow.version).where(*where)) is not None

    def pipeline(self, key: PipelineKey, *, number: int | None = None) -> Pipeline | None:
        """With the version in force, or with `number`; None also while the first version is being made."""
        row = self.row(key)
        if row is None or row.version == 0:
            return None
        version = self.version(key, row.version if number is None else number)
        return _pipeline(row, version) if version else None

    def all(self) -> list[Pipeline]:
        """Those with a version in force, newest first."""
        return self._read(_IN_FORCE.order_by(PipelineRow.created_at.desc(), PipelineRow.name.desc()))

    def at_work(self, after: PipelineKey | None, most: int) -> list[Pipeline]:
        """A page of those that may have workers, by name."""
        name = tuple_(PipelineRow.project, PipelineRow.name)
        further = [] if after is None else [name > tuple_(*after)]
        return self._read(
            _IN_FORCE.where(*_AT_WORK, *further).order_by(PipelineRow.project, PipelineRow.name).limit(most)
        )

    def these_at_work(self, keys: Collection[PipelineKey]) -> list[Pipeline]:
        """Those of these that may have workers."""
        name = tuple_(PipelineRow.project, PipelineRow.name)
        return self._read(_IN_FORCE.where(*_AT_WORK, name.in_([tuple(key) for key in keys])))

    def _read(self, wanted: Select[PipelineRow, VersionRow]) -> list[Pipeline]:
        return [_pipeline(row, version_of(version)) for row, version in self.tx.execute(wanted)]

    def older(self, key: PipelineKey, *, below: int) -> Sequence[Version]:
        """Versions before `below`, newest first."""
        found = self.tx.scalars(
            select(VersionRow)
            .where(VersionRow.project == key.project, VersionRow.name == key.name, VersionRow.version < below)
            .order_by(VersionRow.version.desc())
        )
        return [version_of(row) for row in found]

    def doing(self) -> list[tuple[PipelineKey, str, datetime]]:
        """Intents and when they were begun; those of newer pipelines first, for these read the older ones.

        Most of the time there are none, and an index says so.
        """
        rows = self.tx.scalars(
            select(PipelineRow).where(PipelineRow.doing > "").order_by(PipelineRow.created_at.desc())
        )
        return [(PipelineKey(row.project, row.name), row.doing, row.doing_since or row.created_at) for row in rows]

    def remove_version(self, key: PipelineKey, number: int) -> None:
        row = self.version_row(key, number)
        if row is not None:
            self.tx.delete(row)
            self.tx.flush()

    def remove(self, key: PipelineKey) -> None:
        where = (VersionRow.project == key.project, VersionRow.name == key.name)
        CronStore(self.tx).remove(key)
        self.tx.execute(delete(VersionRow).where(*where))
        self.tx.execute(delete(PipelineRow).where(PipelineRow.project == key.project, PipelineRow.name == key.name))


_IN_FORCE = select(PipelineRow, VersionRow).join(
    VersionRow,
    (VersionRow.project == PipelineRow.project)
    & (VersionRow.name == PipelineRow.name)
    & (VersionRow.version == PipelineRow.version),
)
_AT_WORK = (PipelineRow.stopped.is_(False), PipelineRow.state.in_(MAY_HAVE_WORKERS))


def version_of(row: VersionRow) -> Version:
    """A row as a value."""
    return Version(
        key=PipelineKey(row.project, row.name),
        number=row.version,
        token=row.token,
        spec_commit=row.spec_commit,
        salt=row.salt,
        spec=json.loads(row.spec_json),
        user_json=row.user_json,
        effective_json=row.effective_json,
        at=row.at,
    )


def _pipeline(row: PipelineRow, version: Version) -> Pipeline:
    return Pipeline(
        key=PipelineKey(row.project, row.name),
        state=State(row.state),
        reason=row.reason,
        stopped=row.stopped,
        doing=row.doing,
        keep_repo=row.keep_repo,
        force=row.force,
        created_at=row.created_at,
        workers_started_at=row.workers_started_at,
        version=version,
        workers_requested=row.workers_requested,
        workers_available=row.workers_available,
        recent_error=row.recent_error,
    )
