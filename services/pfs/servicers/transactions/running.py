"""What each request of a transaction does, as part of one change.

Elsewhere: who keeps the list (operations/transactions.py); who may join it (joining.py).
"""

from collections.abc import Callable, Sequence

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import staging_v1_pb2 as staging
from datamill.wire import transaction_v2_pb2 as wire
from services.kit.errors import Unsupported
from services.pfs.domain.errors import Malformed, prefixed
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.operations.dag.change import Change
from services.pfs.operations.dag.resolve import resolve_commit
from services.pfs.operations.refs.branches import create_branch, delete_branch
from services.pfs.operations.refs.commits import finish_commit, start_commit
from services.pfs.operations.refs.delete_commits import delete_set
from services.pfs.operations.refs.repos import create_repo, delete_repo
from services.pfs.operations.transactions import check_unmoved, leave_intents
from services.pfs.servicers.refs import branches, commits
from services.pfs.servicers.wire import from_wire, to_wire

JOBS = "jobs"
"""The owner of jobs: a stop needs nothing of it but to be told."""
Response = wire.TransactionResponse


def run_steps(change: Change, steps: Sequence[staging.Step], by_service: bool = False) -> list[Response]:
    """Carry out all steps and leave intents to the owners of some.

    by_service: requests without an owner may touch what belongs to pipelines, too.
    """
    responses, left = list[Response](), list[tuple[str, bytes]]()
    for at, step in enumerate(steps, 1):
        with prefixed(f"error running request {at} of {len(steps)}: "):
            responses.append(_step(change, step, by_service))
        if owner := _owner(step):
            left.append((owner, step.SerializeToString()))
    leave_intents(change, left)
    return responses


def _owner(step: staging.Step) -> str:
    return step.owner or (JOBS if step.request.HasField("stop_job") else "")


def _step(change: Change, step: staging.Step, by_service: bool) -> Response:
    if not step.owner:
        return _one(change, step.request, by_service)
    for head in step.unmoved:
        check_unmoved(change, from_wire.branch_key(head.branch), head.id)
    for part in step.parts:
        _one(change, part, True)
    return Response()


def _one(change: Change, request: wire.TransactionRequest, by_service: bool) -> Response:
    """Carry out one request; only StartCommit has an answer, with the branch in it."""
    answer = Response()
    match [field.name for field, _ in request.ListFields()]:
        case ["create_repo"]:
            repo = request.create_repo
            made = from_wire.some_repo(repo.repo, repo.HasField("repo"))
            create_repo(change, made, description=repo.description, update=repo.update)
        case ["delete_repo"]:
            _delete_repo(change, request.delete_repo, by_service)
        case ["start_commit"]:
            answer.commit.CopyFrom(_start_commit(change, request.start_commit))
        case ["finish_commit"]:
            end = request.finish_commit
            ref = from_wire.some_commit(end.commit, end.HasField("commit"))
            finish_commit(change, ref, description=end.description, error=end.error, force=end.force)
        case ["squash_commit_set"]:
            some = request.squash_commit_set
            delete_set(change, from_wire.commit_set(some.commit_set, some.HasField("commit_set")), squash=True)
        case ["create_branch"]:
            create_branch(change, **branches.asked(request.create_branch))
        case ["delete_branch"]:
            gone = request.delete_branch
            key = from_wire.some_branch(gone.branch, gone.HasField("branch"))
            delete_branch(change, key, force=gone.force, owner=by_service)
        case ["stop_job"]:
            _check_job(change, request.stop_job.job)
        case ["update_job_state"]:
            raise Unsupported("update_job_state is not supported: workers tell the service of jobs how theirs go")
        case []:
            raise Malformed("unrecognized transaction request type")
        case names:
            raise Unsupported(
                f"{', '.join(names)} cannot be given here: make the call itself, with the header pach-transaction"
            )
    return answer


def _start_commit(change: Change, request: pfs.StartCommitRequest) -> pfs.Commit:
    branch = from_wire.branch_key(request.branch) if request.HasField("branch") else None
    made = start_commit(change, branch, parent=commits.parent_of(request), description=request.description)
    return to_wire.commit(made.ref)


def _delete_repo(change: Change, request: pfs.DeleteRepoRequest, by_service: bool) -> None:
    key = from_wire.repo_key(request.repo) if request.HasField("repo") else None
    delete_repo(change, key, force=request.force, owner=by_service)


def _check_job(change: Change, job: pps.Job) -> None:
    """A job is known here by its output commit. Raises PickFailed, Malformed."""
    if not job.id or not job.pipeline.name:
        raise Malformed("job must have an id and a pipeline")
    repo = RepoKey(from_wire.project_name(job.pipeline.project), job.pipeline.name)
    resolve_commit(change.tx, CommitRef(repo, job.id.lower()))


def appending(step: staging.Step) -> Callable[[Change, bytes], tuple[bytes, Response]]:
    """What operations.transactions.append tries: everything so far, then `step`. Tells what `step` answered."""

    def attempt(change: Change, content: bytes) -> tuple[bytes, Response]:
        staged = staging.Staged.FromString(content)
        staged.steps.append(step)
        responses = run_steps(change, staged.steps)
        del staged.responses[:]
        staged.responses.extend(responses)
        return staged.SerializeToString(), responses[-1]

    return attempt


def trying(requests: Sequence[wire.TransactionRequest]) -> Callable[[Change, bytes], None]:
    """What operations.transactions.try_out runs: everything that is staged, then these."""

    def attempt(change: Change, content: bytes) -> None:
        run_steps(change, staging.Staged.FromString(content).steps)
        run_steps(change, [staging.Step(request=one) for one in requests], by_service=True)

    return attempt


def all_of(change: Change, content: bytes) -> list[Response]:
    """What operations.transactions.finish runs."""
    return run_steps(change, staging.Staged.FromString(content).steps)
