"""What PFS is asked for a pipeline's version: the repos, commits and branches that make or renew it.

Elsewhere: who asks, and what becomes of the answers (repos.py).
"""

from collections.abc import Sequence

from google.protobuf.json_format import ParseDict

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import transaction_v2_pb2 as transaction
from services.pps.domain.names import PipelineKey
from services.pps.domain.pipelines import Version
from services.pps.domain.spec import inputs
from services.pps.domain.spec.kinds import Kind, kind_of


def version_requests(
    version: Version,
    *,
    create: bool,
    stopped: bool,
    sources: Sequence[pfs.Branch] = (),
    crons: Sequence[pfs.Repo] = (),
) -> list[transaction.TransactionRequest]:
    """What makes or renews a pipeline's repos and branches.

    sources: branches to follow that have to be made. crons: repos of cron inputs that have to be made.
    """
    key = version.key
    spec_branch = pfs.Branch(repo=repo_of(*key, "spec"), name="master")
    requests = [_create_repo(repo, cron_description(key), update=True) for repo in crons]
    if create:
        description = f"Output repo for pipeline {key.name}."
        requests.append(_create_repo(repo_of(*key), description))
    requests.append(_create_repo(repo_of(*key, "spec"), f"Spec repo for pipeline {key.name}.", update=True))
    started = pfs.StartCommitRequest(branch=spec_branch, description=mark_of(version))
    requests.append(transaction.TransactionRequest(start_commit=started))
    finished = pfs.FinishCommitRequest(commit=pfs.Commit(repo=spec_branch.repo, branch=spec_branch))
    requests.append(transaction.TransactionRequest(finish_commit=finished))
    requests += [branch_request(branch.repo, branch.name) for branch in sources]
    requests += branch_requests(version, stopped=stopped, meta=True)
    if kind_of(version.spec) is Kind.SPOUT and not stopped:
        if not create:  # provenance that is new gives a branch a new commit, whatever it had before
            requests.insert(0, branch_request(repo_of(*key), version.spec["outputBranch"]))
        requests.append(close_request(output_branch(version)))
    return [*requests, *_triggers(version)]


def spec_head(version: Version) -> pfs.Commit:
    """The commit that a version in force has made, as the head of its branch."""
    repo = repo_of(*version.key, "spec")
    return pfs.Commit(id=version.spec_commit, repo=repo, branch=pfs.Branch(repo=repo, name="master"))


def cron_description(key: PipelineKey) -> str:
    """What a repo says of itself that was made for a pipeline's cron."""
    return f"Cron tick repo for pipeline {key.name}."


def mark_of(version: Version) -> str:
    return f"version {version.number} ({version.token})"


def repo_of(project: str, name: str, kind: str = "user") -> pfs.Repo:
    return pfs.Repo(name=name, type=kind, project=pfs.Project(name=project))


def _create_repo(repo: pfs.Repo, description: str, *, update: bool = False) -> transaction.TransactionRequest:
    request = pfs.CreateRepoRequest(repo=repo, description=description, update=update)
    return transaction.TransactionRequest(create_repo=request)


def branch_requests(version: Version, *, stopped: bool, meta: bool) -> list[transaction.TransactionRequest]:
    """Output and meta branch; meta: make the meta repo first. Only transforms have one."""
    key, name = version.key, version.spec["outputBranch"]
    provenance, never = _provenance(version) if not stopped else ([], [])
    requests = [branch_request(repo_of(*key), name, provenance, never)]
    if kind_of(version.spec) is not Kind.TRANSFORM:
        return requests
    if meta:
        requests.append(_create_repo(repo_of(*key, "meta"), f"Meta repo for pipeline {key.name}", update=True))
    requests.append(branch_request(repo_of(*key, "meta"), name, provenance, never))
    return requests


def output_branch(version: Version) -> pfs.Branch:
    return pfs.Branch(repo=repo_of(*version.key), name=version.spec["outputBranch"])


def close_request(output: pfs.Branch) -> transaction.TransactionRequest:
    """Finish the commit that a spout's new provenance opened: no job will."""
    commit = pfs.Commit(repo=output.repo, branch=output)
    request = pfs.FinishCommitRequest(commit=commit, description="close spout commit")
    return transaction.TransactionRequest(finish_commit=request)


def _provenance(version: Version) -> tuple[list[pfs.Branch], list[pfs.Branch]]:
    """The branches that the output is made from, and those of them whose commits alone make no output commit.

    A spout commits by itself, at any time, and what it commits names the inputs as they are then.
    """
    spout = kind_of(version.spec) is Kind.SPOUT
    wanted = [(branch_of(one), one.never or spout) for one in inputs.reads(version.spec.get("input"))]
    spec = pfs.Branch(repo=repo_of(*version.key, "spec"), name="master")
    return [*(branch for branch, _ in wanted), spec], [branch for branch, never in wanted if never]


def branch_of(read: inputs.BranchRead) -> pfs.Branch:
    return pfs.Branch(repo=repo_of(read.project, read.repo), name=read.branch)


def branch_request(
    repo: pfs.Repo, name: str, provenance: Sequence[pfs.Branch] = (), never: Sequence[pfs.Branch] = ()
) -> transaction.TransactionRequest:
    request = pfs.CreateBranchRequest(branch=pfs.Branch(repo=repo, name=name), provenance=provenance)
    for branch in never:
        request.branch_propagation_specs.add(branch=branch).propagation_spec.never = True
    return transaction.TransactionRequest(create_branch=request)


def _triggers(version: Version) -> list[transaction.TransactionRequest]:
    """Let the branches of inputs with a trigger follow; their heads stay."""
    requests = []
    for leaf in inputs.leaves(version.spec.get("input") or {}):
        if leaf.get("trigger"):
            branch = pfs.Branch(repo=repo_of(leaf["project"], leaf["repo"]), name=leaf["branch"])
            request = pfs.CreateBranchRequest(branch=branch, trigger=ParseDict(leaf["trigger"], pfs.Trigger()))
            requests.append(transaction.TransactionRequest(create_branch=request))
    return requests
