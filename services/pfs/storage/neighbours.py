"""What lies next to commits in the history and in the DAG, by one question for any number of them."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from sqlalchemy import Select, bindparam, literal, select, union_all
from sqlalchemy.orm import Session

from services.pfs.domain.commits import CommitNumber
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.storage.tables import BranchRow, CommitEdgeRow, CommitRow, RepoRow, table

SOME = 500  # numbers in one IN list


class Kin(IntEnum):
    """How a neighbour is related: what a commit was put on, what was put on it; what it was made from, and into."""

    PARENT = 1
    CHILD = 2
    CAUSE = 3
    EFFECT = 4


_COMMIT, _EDGE, _REPO, _BRANCH = table(CommitRow), table(CommitEdgeRow), table(RepoRow), table(BranchRow)


def _pairs(kin: Kin, here: Any, there: Any, place: Any) -> Select[Any]:
    found = select(
        literal(int(kin), literal_execute=True).label("kin"),
        here.label("here"),
        there.label("there"),
        place.label("place"),
    )
    return found.where(here.in_(bindparam("numbers", expanding=True)))


_ANY_PLACE = literal(0, literal_execute=True)
_NEAR = union_all(
    _pairs(Kin.PARENT, _COMMIT.c.number, _COMMIT.c.parent, _ANY_PLACE),
    _pairs(Kin.CHILD, _COMMIT.c.parent, _COMMIT.c.number, _ANY_PLACE),
    _pairs(Kin.CAUSE, _EDGE.c.downstream, _EDGE.c.upstream, _EDGE.c.position),
    _pairs(Kin.EFFECT, _EDGE.c.upstream, _EDGE.c.downstream, _EDGE.c.position),
).subquery("near")
_NEIGHBOURS = (
    select(
        _NEAR.c.kin, _NEAR.c.here, _COMMIT.c.id, _REPO.c.project, _REPO.c.name, _REPO.c.type, _BRANCH.c.name.label("at")
    )
    .select_from(
        _NEAR.join(_COMMIT, _COMMIT.c.number == _NEAR.c.there)
        .join(_REPO, _REPO.c.number == _COMMIT.c.repo_number)
        .outerjoin(_BRANCH, _BRANCH.c.number == _COMMIT.c.branch_number)
    )
    .order_by(_NEAR.c.place, _NEAR.c.there)
)


def neighbours(tx: Session, numbers: Iterable[CommitNumber]) -> dict[tuple[CommitNumber, Kin], list[CommitRef]]:
    """The neighbours of each commit, by kind: causes in their order, the others oldest first."""
    found: dict[tuple[CommitNumber, Kin], list[CommitRef]] = {}
    every = list(dict.fromkeys(numbers))
    for start in range(0, len(every), SOME):
        for row in tx.execute(_NEIGHBOURS, {"numbers": every[start : start + SOME]}):
            ref = CommitRef(RepoKey(row.project, row.name, row.type), row.id, row.at or "")
            found.setdefault((CommitNumber(row.here), Kin(row.kin)), []).append(ref)
    return found
