"""Versions that come with a transaction of a user's: staged with PFS, and in force once the transaction is finished.

Nothing of a staged version is kept here before that: what is needed travels with the step and comes back with the
intent. PFS tells by the mark on the spec commit whether a version still is the pipeline's newest: one that was
deleted or overtaken before this service heard of it is let go.
Elsewhere: steps and intents (services/kit/rpc/staging.py); what PFS does for a version (peers/version_requests.py).
"""

import json
import logging
from dataclasses import asdict
from datetime import datetime

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import transaction_v2_pb2 as transaction
from services.kit.bus import Bus
from services.kit.rpc.staging import Intent, Staging
from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pps.domain.errors import Busy
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.duties.reconciler import Reconciler
from services.pps.operations import intents
from services.pps.peers.repos import Repos
from services.pps.peers.version_requests import spec_head

log = logging.getLogger(__name__)


class StagedVersions:
    """Stages versions, and puts them in force."""

    def __init__(
        self, *, db: Database, repos: Repos, reconciler: Reconciler, staging: Staging, bus: Bus, clock: Clock
    ) -> None:
        self._db, self._repos, self._reconciler = db, repos, reconciler
        self._staging, self._bus, self._clock = staging, bus, clock

    async def stage(self, id: str, version: Version, asked: pps.CreatePipelineRequest, old: Pipeline | None) -> None:
        """Add a version to a transaction. version: numbered. Raises AioRpcError with what PFS said."""
        stopped = bool(old and old.stopped)
        shown = pps.CreatePipelineTransaction(
            create_pipeline_request=asked, user_json=version.user_json, effective_json=version.effective_json
        )
        await self._staging.stage(
            id,
            transaction.TransactionRequest(create_pipeline_v2=shown),
            parts=await self._repos.requests(version, create=old is None, stopped=stopped),
            unmoved=[spec_head(old.version)] if old else [],
            payload=_packed(version, stopped),
        )

    async def run(self) -> None:
        """Until cancelled."""
        await self._staging.follow(self._bus, self._carry_out)

    async def _carry_out(self, intent: Intent) -> bool:
        version, stopped = unpacked(intent.payload)
        try:
            async with self._reconciler.working_at_once_on(version.key):
                if await self._repos.made_version(version) != intent.transaction_id:
                    log.info("pipeline %s was deleted or changed again; its staged version is let go", version.key)
                    return True
                doing = await self._db.run(
                    intents.staged_in_force, version, intent.transaction_id, stopped=stopped, now=self._clock.now()
                )
                if doing:
                    await self._reconciler.finish(version.key, doing)
        except Busy:
            return False
        self._reconciler.nudge()
        return True


def _packed(version: Version, stopped: bool) -> bytes:
    values = {**asdict(version), "key": list(version.key), "at": version.at.isoformat(), "stopped": stopped}
    return json.dumps(values).encode()


def unpacked(payload: bytes) -> tuple[Version, bool]:
    """What a payload holds: a version, and whether the pipeline was stopped when it was staged."""
    values = json.loads(payload)
    stopped: bool = values.pop("stopped")
    key, at = PipelineKey(*values.pop("key")), datetime.fromisoformat(values.pop("at"))
    return Version(key=key, at=at, **values), stopped
