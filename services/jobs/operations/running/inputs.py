"""The commits that a job reads. Elsewhere: what is made of them (../planning/planner.py)."""

import asyncio
from dataclasses import replace

from services.jobs.domain.datums import Leaf
from services.jobs.domain.jobs import JobKey
from services.jobs.domain.planning.inputs import Input, leaves
from services.jobs.peers.pfs import CommitFacts, CommitRef, Pfs


async def inputs_of(pfs: Pfs, key: JobKey, tree: Input) -> dict[Leaf, CommitFacts]:
    """The finished commit behind each leaf; those that are not finished are waited for."""
    found = list(dict.fromkeys(leaves(tree)))
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(_input(pfs, key, leaf)) for leaf in found]
    return dict(zip(found, (wait.result() for wait in waits), strict=True))


async def _input(pfs: Pfs, key: JobKey, leaf: Leaf) -> CommitFacts:
    """The commit that the job reads for a leaf: that of its own set, or what the set was made from.

    A meta repo is no input of the output branch, the repo of the same name is: the commit beside its one is read.
    """
    user = await pfs.commit(CommitRef(leaf.project, leaf.repo, "user", key.id), finished=True)
    if leaf.repo_type == "user":
        return user
    meta = replace(user.ref, type=leaf.repo_type)
    return replace(await pfs.commit(meta, finished=True), error=user.error)
