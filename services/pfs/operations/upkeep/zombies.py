"""Zombies: files of an output that a datum wrote which its job does not have any more.

The meta commit of the same set keeps one folder for every datum of the output (/meta/<datum>/).
Elsewhere: what else is checked (structure.py).
"""

import asyncio
from collections.abc import AsyncIterator

from sqlalchemy.orm import Session

from services.kit.storage.database import Database
from services.pfs.domain.files.paths import below
from services.pfs.domain.keys import META, SPEC, USER, CommitRef, RepoKey
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.files.read import Reading
from services.pfs.operations.files.tree_views import Views
from services.pfs.storage.branches import BranchStore
from services.pfs.storage.commits import CommitStore
from services.pfs.storage.repos import RepoStore


async def zombies(db: Database, views: Views, target: CommitRef | None) -> AsyncIterator[str]:
    """Files without a datum in one output commit; None: in the newest good output of every pipeline.

    Raises what resolving `target` raises.
    """
    wanted = await db.read(_newest_good) if target is None else [await db.read(_exactly, target)]
    for ref in wanted:
        output = Reading(await views.open(ref))
        meta = Reading(await views.open(CommitRef(RepoKey(ref.repo.project, ref.repo.name, META), ref.id)))
        for trouble in await asyncio.to_thread(_stale, output, meta):
            yield trouble


def _stale(output: Reading, meta: Reading) -> list[str]:
    """Blocks."""
    found = list[str]()
    known: dict[bytes, bool] = {}
    for row in output.rows(b"/", b"0"):
        path, _, datum = row.key.partition(b"\0")
        if datum not in known:
            known[datum] = next(meta.rows(*below(f"/meta/{datum.decode()}")), None) is not None
        if not known[datum]:
            found.append(f"stale datum {datum.decode()} had file {path.decode()}")
    return found


def _exactly(tx: Session, ref: CommitRef) -> CommitRef:
    commit = resolve_commit(tx, ref)
    return CommitRef(commit.repo, commit.id)


def _newest_good(tx: Session) -> list[CommitRef]:
    """Of each branch of an output repo that a meta repo has, too."""
    repos, branches, commits = RepoStore(tx), BranchStore(tx), CommitStore(tx)
    found = list[CommitRef]()
    for spec in repos.listed(type=SPEC):
        of_type = {repo.key.type: repo for repo in repos.of_name(spec.key.project, spec.key.name)}
        if USER not in of_type or META not in of_type:
            continue
        shadowed = {branch.key.name for branch in branches.of_repo(of_type[META].number)}
        for branch in branches.of_repo(of_type[USER].number):
            if branch.key.name not in shadowed:
                continue
            commit = None if branch.head is None else commits.get(branch.head)
            while commit is not None and (commit.finished is None or commit.error):
                commit = None if commit.parent is None else commits.get(commit.parent)
            if commit is not None and commits.of_repo(of_type[META].key, commit.id) is not None:
                found.append(CommitRef(commit.repo, commit.id))
    return found
