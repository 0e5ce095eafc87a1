"""Small changes and short lists cost a few statements, however many branches and commits there are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from services.kit.storage.database import Database, KitBase
from services.kit.time.clock import fresh_id
from services.pfs.domain.commits import BranchNumber, CommitView, RepoNumber
from services.pfs.domain.keys import BranchKey, CommitRef, RepoKey
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import base_of, resolve_commit
from services.pfs.operations.finishing.finish import MOST_AT_A_LOOK, ready_work
from services.pfs.operations.refs import listing
from services.pfs.operations.refs.branches import create_branch, list_branches
from services.pfs.operations.refs.commits import finish_commit, start_commit
from services.pfs.operations.refs.projects import settle
from services.pfs.operations.refs.repos import create_repo, list_repos
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.neighbours import MOST_EFFECTS, Kin, neighbours
from services.pfs.storage.tables import Base
from services.pfs.storage.triggers import TriggerStore

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MANY = 30


def repo(name: str = "data") -> RepoKey:
    return RepoKey("default", name)


def branch(name: str = "master", of: str = "data") -> BranchKey:
    return BranchKey(repo(of), name)


def head(name: str = "master") -> CommitRef:
    return CommitRef(repo(), branch=name)


class World:
    """A database whose statements are counted."""

    def __init__(self, db: Database) -> None:
        self.db, self.statements = db, 0
        event.listen(db.engine, "before_cursor_execute", self._count)

    def _count(self, *_: Any) -> None:
        self.statements += 1

    def change(self, *works: Callable[[Change], object]) -> None:
        """Each as a change of its own."""

        def run(tx: Session) -> None:
            for work in works:
                with Change(tx, id=fresh_id(), now=lambda: NOW) as change:
                    work(change)

        self.db.run_here(run)

    @contextmanager
    def at_most(self, statements: int) -> Iterator[None]:
        self.statements = 0
        yield
        assert self.statements <= statements


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Database(f"sqlite:///{tmp_path}/pfs.db") as db:
        KitBase.metadata.create_all(db.engine)
        Base.metadata.create_all(db.engine)
        db.run_here(settle, NOW)
        found = World(db)
        found.change(lambda change: create_repo(change, repo()))
        yield found


def one_commit(name: str = "master", error: str = "") -> Callable[[Change], None]:
    def work(change: Change) -> None:
        commit = start_commit(change, branch(name))
        finish_commit(change, CommitRef(repo(), commit.id), error=error)

    return work


def test_a_look_for_commits_to_finish_does_not_look_at_each_that_waits(world: World) -> None:
    world.change(*[one_commit()] * MANY, *[one_commit(f"b{number}") for number in range(MOST_AT_A_LOOK)])
    with world.at_most(2 * MOST_AT_A_LOOK + 4):
        ready, waiting = world.db.run_here(ready_work, frozenset())
    assert (len(ready), waiting) == (MOST_AT_A_LOOK, True)
    with world.at_most(2 * MOST_AT_A_LOOK + 4):
        ready, waiting = world.db.run_here(ready_work, frozenset(work.number for work in ready))
    assert (len(ready), waiting) == (0, True)


def test_a_look_tells_when_nobody_waits(world: World) -> None:
    world.change(one_commit(), one_commit("other", "no good"), one_commit("other", "worse"))
    ready, waiting = world.db.run_here(ready_work, frozenset())
    assert (len(ready), waiting) == (3, False)


def test_errored_commits_are_passed_over_in_one_step(world: World) -> None:
    world.change(one_commit(), *[one_commit(error="no good")] * MANY, lambda change: start_commit(change, branch()))
    with world.at_most(6):
        found = world.db.run_here(lambda tx: base_of(tx, resolve_commit(tx, head())))
    assert found is not None
    assert found.error == ""
    assert world.db.run_here(lambda tx: base_of(tx, found)) is None


def test_lists_cost_a_few_statements(world: World) -> None:
    world.change(*[one_commit()] * MANY)
    world.change(*[lambda change, at=at: create_repo(change, repo(f"r{at}")) for at in range(MANY)])
    world.change(*[lambda change, at=at: start_commit(change, branch(of=f"r{at}")) for at in range(MANY)])

    def chain(tx: Session) -> list[CommitView]:
        return listing.chain_page(tx, head(), None, repo())

    with world.at_most(8):
        assert len(world.db.run_here(chain)) == MANY
    with world.at_most(8):
        assert len(world.db.run_here(listing.view_page, listing.Filter(repo=None), None)) == 2 * MANY
    with world.at_most(16):
        assert len(world.db.run_here(list_branches, None)) == MANY + 1
    with world.at_most(8):
        assert len(world.db.run_here(list_repos)) == MANY + 1


def test_lists_may_be_longer_than_a_statement(world: World) -> None:
    def ask(tx: Session) -> list[object]:
        known = BranchStore(tx).find(branch())
        assert known is not None
        numbers = [BranchNumber(number) for number in range(known.number, 300_000)]
        repos = [RepoNumber(number) for number in range(known.repo_number, 300_000)]
        return [*TriggerStore(tx).of(numbers), *BranchStore(tx).of_repos(repos)]

    world.change(one_commit())
    assert len(world.db.run_here(ask)) == 1


def test_a_change_opens_commits_downstream_with_a_few_statements_each(world: World) -> None:
    def below(at: int) -> Callable[[Change], None]:
        def work(change: Change) -> None:
            create_repo(change, repo(f"r{at}"))
            create_branch(change, branch(of=f"r{at}"), provenance=[branch(of=f"r{at - 1}" if at else "data")])

        return work

    world.change(lambda change: create_branch(change, branch()), *map(below, range(MANY)))
    with world.at_most(4 * MANY + 20):
        world.change(lambda change: start_commit(change, branch()))
    views = world.db.run_here(lambda tx: listing.set_view(tx, resolve_commit(tx, head()).id))
    assert [view.commit.repo.name for view in views] == ["data", *(f"r{at}" for at in range(MANY))]
    assert [len(view.provenance) for view in views] == [0] + [1] * MANY


def test_of_what_a_commit_was_made_into_the_newest_are_told(world: World) -> None:
    """Commits beside a stream of others would be told with a reply that grows for ever."""
    side, below = branch(of="side"), branch(of="below")
    world.change(
        one_commit(), *[lambda change, name=name: create_repo(change, repo(name)) for name in ("side", "below")]
    )
    world.change(lambda change: create_branch(change, below, provenance=[branch(), side]))
    world.change(*[one_commit()] * MANY)

    def told(tx: Session, most: int) -> list[str]:
        beside = resolve_commit(tx, CommitRef(repo("side"), branch="master"))
        return [ref.id for ref in neighbours(tx, [beside.number], most=most).get((beside.number, Kin.EFFECT), [])]

    every = world.db.run_here(told, MOST_EFFECTS)
    assert len(every) == MANY + 1
    assert world.db.run_here(told, MANY + 1) == every
    assert world.db.run_here(told, 7) == every[-7:]
    assert every[-1] == world.db.run_here(resolve_commit, head()).id
