"""Changes that reach beyond this database: an intent is written first, then PFS is changed, then the intent is closed.

Each function is one transaction. A crash between two of them leaves the intent, and duties/reconciler.py goes on from
there. Elsewhere: what is asked of PFS (peers/).
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from services.kit.storage.outbox import Outbox
from services.pps.domain.crons import cron_of
from services.pps.domain.errors import Busy, PipelineExists, PipelineNotFound
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import Pipeline, State, Version
from services.pps.domain.spec import inputs
from services.pps.storage.crons import CronStore
from services.pps.storage.pipelines import PipelineStore, version_of
from services.pps.storage.tables import PipelineRow

UP = frozenset({State.RUNNING, State.CRASHING})  # there are workers, or would be but for something that may pass
CREATING, UPDATING, STOPPING, STARTING, DELETING = "created", "updated", "stopped", "started", "deleted"


def begin_version(tx: Session, draft: Version, *, update: bool, now: datetime) -> Version:
    """Write a new version as an intent and return it numbered. Raises PipelineExists, Busy."""
    store = PipelineStore(tx)
    row = store.row(draft.key)
    if row is None:
        row = PipelineRow(
            project=draft.key.project, name=draft.key.name, version=0, state=State.STARTING, created_at=now,
            doing=CREATING, doing_since=now,
        )  # fmt: skip
        store.add(row)
        number = 1
    else:
        _free(row, draft.key)
        if not update:
            raise PipelineExists(draft.key)
        row.doing, row.doing_since = UPDATING, now
        number = row.version + 1
    version = _numbered(draft, number, now)
    store.add_version(version)
    return version


def begin_updates(tx: Session, drafts: Iterable[tuple[Version, int]], *, now: datetime) -> list[Version]:
    """Write new versions of pipelines as intents, all or none. drafts: each with the number of the version it renews.

    Raises Busy, also when another version is in force by now.
    """
    store, found = PipelineStore(tx), list[Version]()
    for draft, renewed in drafts:
        row = store.row(draft.key)
        if row is None or row.version != renewed:
            raise Busy(draft.key, UPDATING)
        found.append(begin_version(tx, draft, update=True, now=now))
    return found


def _numbered(draft: Version, number: int, now: datetime) -> Version:
    return Version(
        key=draft.key, number=number, token=draft.token, spec_commit="", salt=draft.salt, spec=draft.spec,
        user_json=draft.user_json, effective_json=draft.effective_json, at=now,
    )  # fmt: skip


def _free(row: PipelineRow, key: PipelineKey) -> None:
    if row.doing:
        raise Busy(key, row.doing)


def version_in_force(tx: Session, key: PipelineKey, number: int, spec_commit: str, *, now: datetime) -> None:
    """PFS has the version's repos and branches: it counts from now on. Safe to repeat."""
    store = PipelineStore(tx)
    row, version = store.row(key), store.version_row(key, number)
    if row is None or version is None or row.version >= number:
        return
    version.spec_commit = spec_commit
    done, row.doing, row.doing_since = row.doing, "", None
    _in_force(tx, row, version_of(version), now)
    _news(tx, done or UPDATING, key, number, now)


def _in_force(tx: Session, row: PipelineRow, version: Version, now: datetime) -> None:
    row.version, row.reason, row.workers_started_at = version.number, "", None
    row.state = State.PAUSED if row.stopped else State.STARTING
    crons = [cron_of(leaf) for leaf in inputs.crons(version.spec.get("input") or {})]
    CronStore(tx).put(version.key, crons, look_at=None if row.stopped else now)


def version_given_up(tx: Session, key: PipelineKey, number: int) -> None:
    """PFS refused the version: nothing of it stays."""
    store = PipelineStore(tx)
    row = store.row(key)
    if row is None or row.version >= number:
        return
    store.remove_version(key, number)
    if row.version == 0:
        store.remove(key)
    else:
        row.doing, row.doing_since = "", None


def staged_in_force(tx: Session, version: Version, spec_commit: str, *, stopped: bool, now: datetime) -> str:
    """PFS made the version in a transaction of a user's: it counts from now on. Safe to repeat.

    stopped: whether PFS was told so; when the pipeline was stopped or started meanwhile, the intent to connect it
    accordingly is left and returned.  Raises Busy.
    """
    store = PipelineStore(tx)
    if store.has_token(version.key, version.token):
        return ""
    row = store.row(version.key)
    if row is None:
        row = PipelineRow(
            project=version.key.project, name=version.key.name, version=0, state=State.STARTING, created_at=now,
        )  # fmt: skip
        store.add(row)
    else:
        _free(row, version.key)
    what = UPDATING if row.version else CREATING
    kept = replace(_numbered(version, row.version + 1, now), spec_commit=spec_commit)
    store.add_version(kept)
    _in_force(tx, row, kept, now)
    _news(tx, what, version.key, kept.number, now)
    if row.stopped is not stopped:
        row.doing, row.doing_since = (STOPPING if row.stopped else STARTING), now
    return row.doing


def begin(
    tx: Session, key: PipelineKey, doing: str, *, now: datetime, keep_repo: bool = False, force: bool = False
) -> Pipeline:
    """Write the intent to stop, start or delete a pipeline. Raises PipelineNotFound, Busy."""
    store = PipelineStore(tx)
    row, pipeline = store.row(key), store.pipeline(key)
    if row is None or pipeline is None:
        raise PipelineNotFound(key)
    if row.doing != doing:
        _free(row, key)
    row.doing, row.doing_since, row.keep_repo, row.force = doing, now, keep_repo, force
    if doing in (STOPPING, STARTING):  # also a start at once: what it sets off must not look like a stopped one's
        row.stopped = doing == STOPPING
    if doing == STOPPING:
        row.workers_requested = row.workers_available = 0
        CronStore(tx).look(key, None)
        if row.state != State.FAILURE:
            row.state, row.reason, row.workers_started_at = State.PAUSED, "", None
    return pipeline


def begin_deleting(
    tx: Session, keys: Iterable[PipelineKey], *, now: datetime, keep_repo: bool, force: bool
) -> list[Pipeline]:
    """Write the intent to delete all of these. Raises PipelineNotFound, Busy."""
    return [begin(tx, key, DELETING, now=now, keep_repo=keep_repo, force=force) for key in keys]


def close(tx: Session, *keys: PipelineKey, now: datetime) -> None:
    """The intents to stop, start or delete are carried out. Safe to repeat."""
    for key in keys:
        _close(tx, key, now)


def _close(tx: Session, key: PipelineKey, now: datetime) -> None:
    store = PipelineStore(tx)
    row = store.row(key)
    if row is None or not row.doing:
        return
    done, row.doing, row.doing_since = row.doing, "", None
    number = row.version
    if done == STARTING:
        CronStore(tx).look(key, now)
        if row.state == State.PAUSED:
            row.state = State.STARTING
    if done == DELETING:
        store.remove(key)
    _news(tx, done, key, number, now)


def give_up(tx: Session, *keys: PipelineKey) -> None:
    """The intents were refused: the pipelines stay as they were."""
    for key in keys:
        row = PipelineStore(tx).row(key)
        if row is not None:
            if row.doing == STARTING:
                row.stopped = row.state == State.PAUSED
            row.doing, row.doing_since = "", None


def _news(tx: Session, what: str, key: PipelineKey, version: int, now: datetime) -> None:
    facts = {"project": key.project, "name": key.name, "version": str(version)}
    Outbox(tx).add(f"pps.pipeline.{what}", str(key), at=now, facts=facts)


def set_state(
    tx: Session,
    key: PipelineKey,
    number: int,
    state: State,
    reason: str,
    requested: int,
    available: int,
    *,
    now: datetime,
) -> bool:
    """What the runtime says of the workers of a version. False when the pipeline's state is still the same.

    Says nothing of a pipeline that is stopped, has failed, or has another version by now.
    """
    row = PipelineStore(tx).row(key)
    if row is None or row.stopped or row.state == State.FAILURE or row.version != number:
        return False
    row.workers_requested, row.workers_available = requested, available
    if (row.state, row.reason) == (state, reason):
        return False
    was_up, up = row.state in UP, state in UP
    row.state, row.reason = state, reason
    row.workers_started_at = (row.workers_started_at if was_up else now) if up else None
    if state in (State.CRASHING, State.FAILURE):
        row.recent_error = reason
    if state == State.FAILURE:
        CronStore(tx).look(key, None)
    facts = {"project": key.project, "name": key.name, "version": str(row.version), "state": state.name}
    Outbox(tx).add("pps.pipeline.state", str(key), at=now, facts=facts)
    return True
