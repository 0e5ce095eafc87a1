"""`python -m services.pfs.verify DATABASE_URL STORE`: everything that counts held against its hashes, nobody serving.

Prints what is damaged; ends with 1 when something is.
"""

import asyncio
import sys

from services.kit.objects.opening import open_store
from services.kit.storage.database import Database
from services.pfs.operations.collection import scrub
from services.pfs.operations.files.stores import Stores
from services.pfs.storage.collection.moves import Moves, moves_of


async def main(database_url: str, store: str) -> int:
    with Database(database_url) as db:
        moves = Moves()
        moves.learn(await db.read(moves_of))
        run = scrub.Scrub(Stores.over(open_store(store), moves=moves), None, 0, lambda pack: True)
        packs, commits = await db.read(scrub.packs_to_scrub), await db.read(scrub.trees_to_scrub)
        for event in (*run.contents(packs), *run.trees(commits)):
            if isinstance(event, scrub.Damaged):
                print(f"{event.key}: {event.reason}")
    print(f"{run.found.packs} packs, {run.found.blobs} blobs, {run.found.commits} commits: {run.found.damaged} damaged")
    return 1 if run.found.damaged else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
