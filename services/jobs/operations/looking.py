"""Which pipelines the reconciler looks at, should news have been lost: those where there is something to do.

Elsewhere: what is done there (duties/follower.py).
"""

from services.jobs.peers.pfs import Pfs
from services.jobs.storage.jobs import JobStore
from services.kit.storage.database import Database


async def worth_a_look(db: Database, pfs: Pfs) -> list[tuple[str, str]]:
    """(project, pipeline) of those with jobs that are not over, or with outputs that nobody has closed.

    One statement and one call, which cost what is found. Raises AioRpcError.
    """
    at_work = await db.read(lambda tx: JobStore(tx).pipelines_with_work())
    return sorted({*at_work, *await pfs.repos_with_open_outputs()})
