"""When crons are looked at, in the database: what PPS does to pipelines says so, and a look costs what is due."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from services.kit.storage.database import Database, KitBase
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import State, Version
from services.pps.operations import intents, reading
from services.pps.storage.crons import CronStore, Due
from services.pps.storage.tables import Base

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = PipelineKey("default", "p")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{tmp_path}/pps.db") as database:
        KitBase.metadata.create_all(database.engine)
        Base.metadata.create_all(database.engine)
        yield database


def version(key: PipelineKey = KEY, *names: str) -> Version:
    crons = [
        {
            "cron": {
                "name": name,
                "project": "default",
                "repo": f"{key.name}_{name}",
                "spec": "@hourly",
                "start": f"{NOW}",
            }
        }
        for name in names or ("tick",)
    ]
    spec = {"input": {"cross": crons}, "transform": {"cmd": ["true"]}}
    return Version(
        key=key, number=0, token="t", spec_commit="", salt="", spec=spec, user_json="", effective_json="{}", at=NOW
    )


def made(tx: Session, draft: Version, now: datetime = NOW) -> int:
    """A version that runs."""
    number = intents.begin_version(tx, draft, update=True, now=now).number
    intents.version_in_force(tx, draft.key, number, "c", now=now)
    say(tx, draft.key, number, State.RUNNING)
    return number


def say(tx: Session, key: PipelineKey, number: int, state: State) -> None:
    intents.set_state(tx, key, number, state, "", 1, 1, now=NOW)


def due(tx: Session) -> list[Due]:
    return CronStore(tx).first(10)


def test_crons_are_looked_at_while_their_pipeline_ticks(db: Database) -> None:
    with Session(db.engine) as tx:
        number = made(tx, version(KEY, "one", "two"))
        assert [one.cron.repo for one in due(tx)] == ["p_one", "p_two"]
        for one in due(tx):
            CronStore(tx).put_off(one, NOW + timedelta(hours=1))
        assert {one.at for one in due(tx)} == {NOW + timedelta(hours=1)}
        say(tx, KEY, number, State.RESTARTING)
        assert due(tx) == []
        say(tx, KEY, number, State.STANDBY)
        assert len(due(tx)) == 2
        intents.begin(tx, KEY, intents.STOPPING, now=NOW)
        intents.close(tx, KEY, now=NOW)
        assert (due(tx), reading.at_work(tx, None, 9)) == ([], [])
        intents.begin(tx, KEY, intents.STARTING, now=NOW)
        intents.close(tx, KEY, now=NOW)
        say(tx, KEY, number, State.CRASHING)
        assert {one.at for one in due(tx)} == {NOW}, "what was missed meanwhile is due at once"
        assert [one.key for one in reading.at_work(tx, None, 9)] == [KEY]
        say(tx, KEY, number, State.FAILURE)
        assert (due(tx), reading.at_work(tx, None, 9)) == ([], [])
        intents.begin(tx, KEY, intents.DELETING, now=NOW)
        intents.close(tx, KEY, now=NOW)


def test_a_new_version_is_looked_at_whatever_is_said_of_the_one_before(db: Database) -> None:
    with Session(db.engine) as tx:
        made(tx, version())
        (old,) = due(tx)
        later = NOW + timedelta(minutes=1)
        made(tx, replace(version(KEY, "other"), token="u"), later)
        CronStore(tx).put_off(old, None)
        assert [(one.cron.repo, one.at) for one in due(tx)] == [("p_other", later)]


def test_a_look_does_not_go_through_all_pipelines(db: Database) -> None:
    asked: list[tuple[str, object]] = []
    with Session(db.engine) as tx:
        made(tx, version())
        event.listen(db.engine, "before_cursor_execute", lambda _c, _r, text, values, *_: asked.append((text, values)))
        due(tx)
        text, values = asked[-1]
        plan = tx.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()  # type: ignore[arg-type]
    assert "ix_crons_look_at" in plan[0].detail, plan
    assert not any(row.detail.startswith("SCAN pipelines") for row in plan), plan
