"""What every servicer of pfs_v2.API is handed."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Concatenate, ParamSpec, TypeVar

from services.kit.bus import Bus
from services.kit.rpc.server import Context, is_service
from services.kit.storage.database import Database
from services.kit.time.clock import Clock, fresh_id
from services.kit.urls.opening import Urls
from services.pfs.domain.keys import BranchKey
from services.pfs.operations.dag.change import Change, changed
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import Views
from services.pfs.operations.finishing.ahead import Ahead, built
from services.pfs.operations.finishing.finish import Work

PATIENCE = timedelta(seconds=2)  # a store that does not answer keeps nobody from closing a commit
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class Rpcs:
    """Shared by all nouns."""

    db: Database
    bus: Bus
    clock: Clock
    stores: Stores
    views: Views
    urls: Urls
    service_token: str
    closed: Callable[[Work], None]
    """Told of each commit that FinishCommit closes, with what finishing it takes."""
    one_shots: Counter[BranchKey] = field(default_factory=Counter)
    """How many are being written to each branch: of several at a time only one finds its branch as it was."""

    async def change(self, work: Callable[Concatenate[Change, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one operation as a change with a commit set id of its own."""
        return await self.db.run(changed, work, fresh_id(), self.clock.now, *args, **kwargs)

    async def built(self, work: Work | None) -> Ahead | None:
        """What a commit that is to be closed will have, if that is quickly said."""
        if work is None:
            return None
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                return await asyncio.to_thread(built, self.stores, work)
        except TimeoutError:
            return None

    def by_service(self, context: Context) -> bool:
        """Whether the caller is one of datamill's own services."""
        return is_service(context, self.service_token)
