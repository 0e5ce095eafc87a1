"""`python -m services.jobs.verify DATABASE_URL STORE`: what jobs refer to held against its hashes, nobody serving.

Prints what is damaged; ends with 1 when something is.
"""

import asyncio
import sys

from services.jobs.operations.upkeep import marking
from services.jobs.operations.upkeep.verifying import Verification
from services.jobs.storage.objects import Indexes
from services.kit.objects.opening import open_store
from services.kit.storage.database import Database


async def main(database_url: str, store: str) -> int:
    with Database(database_url) as db:
        look = Verification(Indexes.over(open_store(store)))
        for problem in look.problems(await db.read(marking.held)):
            print(problem)
    print(f"{look.objects} objects of jobs, {look.rows} datums: {look.damaged} damaged")
    return 1 if look.damaged else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
