"""What lies next to commits in the history and in the DAG, by one question for any number of them.

A commit that everything is made from, such as a pipeline's spec or a model beside a stream of data, has more made into
every day: of these the newest are told, however many there are. Walks find them all.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from sqlalchemy import Select, and_, bindparam, func, literal, select, union_all
from sqlalchemy.orm import Session

from services.pfs.domain.commits import CommitNumber
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.storage.tables import BranchRow, CommitEdgeRow, CommitRow, RepoRow, table

SOME = 500  # numbers in one IN list
MOST_EFFECTS = 1000  # of one commit


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


def _effects() -> Select[Any]:
    """The newest of what each commit was made into; its cost does not grow with the older ones."""
    start, newer = _COMMIT.alias("start"), _EDGE.alias("newer")
    left_out = (
        select(newer.c.downstream)
        .where(newer.c.upstream == start.c.number)
        .order_by(newer.c.downstream.desc())
        .limit(1)
        .offset(bindparam("most"))
        .correlate(start)
        .scalar_subquery()
    )
    near = and_(_EDGE.c.upstream == start.c.number, _EDGE.c.downstream > func.coalesce(left_out, 0))
    found = _pairs(Kin.EFFECT, start.c.number, _EDGE.c.downstream, _EDGE.c.position)
    return found.select_from(start.join(_EDGE, near))


_ANY_PLACE = literal(0, literal_execute=True)
_NEAR = union_all(
    _pairs(Kin.PARENT, _COMMIT.c.number, _COMMIT.c.parent, _ANY_PLACE),
    _pairs(Kin.CHILD, _COMMIT.c.parent, _COMMIT.c.number, _ANY_PLACE),
    _pairs(Kin.CAUSE, _EDGE.c.downstream, _EDGE.c.upstream, _EDGE.c.position),
    _effects(),
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


def neighbours(
    tx: Session, numbers: Iterable[CommitNumber], *, most: int = MOST_EFFECTS
) -> dict[tuple[CommitNumber, Kin], list[CommitRef]]:
    """The neighbours of each commit, by kind: causes in their order, the others oldest first.

    most: of what one commit was made into.
    """
    found: dict[tuple[CommitNumber, Kin], list[CommitRef]] = {}
    every = list(dict.fromkeys(numbers))
    for start in range(0, len(every), SOME):
        for row in tx.execute(_NEIGHBOURS, {"numbers": every[start : start + SOME], "most": most}):
            ref = CommitRef(RepoKey(row.project, row.name, row.type), row.id, row.at or "")
            found.setdefault((CommitNumber(row.here), Kin(row.kin)), []).append(ref)
    return found
