"""The defaults that specs are merged over: of everywhere, and of each project."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from services.pps.domain.names import PipelineKey
from services.pps.domain.spec.merge import FRESH
from services.pps.operations import intents
from services.pps.storage.defaults import DefaultsStore

EVERYWHERE = ""
NONE = "{}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """A document as it was set, and when; never set: None."""

    document: str
    at: datetime | None


def defaults(tx: Session, project: str) -> Defaults:
    """Of a project, or of EVERYWHERE."""
    row = DefaultsStore(tx).row(project)
    if row is None:
        return Defaults(FRESH if project == EVERYWHERE else NONE, None)
    return Defaults(row.document, row.at)


def put(
    tx: Session, project: str, document: str, made: Mapping[PipelineKey, int], commit: str, *, now: datetime
) -> None:
    """Keep a document, and put in force what it made of pipelines: their new versions, by number."""
    for key, number in made.items():
        intents.version_in_force(tx, key, number, commit, now=now)
    DefaultsStore(tx).put(project, document, now)
