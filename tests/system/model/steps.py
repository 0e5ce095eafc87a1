"""What clients do: each step can be told to the model and asked of a real PFS.

Elsewhere: writing files (writes.py); which steps are taken, and when somebody is killed (machine.py).
"""

from dataclasses import dataclass

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc, transaction_v2_pb2_grpc
from datamill.wire import transaction_v2_pb2 as transaction
from tests.system.model.model import Change, Name, Refused

CALL_SECONDS = 90.0
Request = transaction.TransactionRequest


class Api:
    """One client of one project."""

    def __init__(self, channel: grpc.Channel, project: str) -> None:
        self.pfs = pfs_v2_pb2_grpc.APIStub(channel)
        self.transactions = transaction_v2_pb2_grpc.APIStub(channel)
        self.project = pfs.Project(name=project)

    def repo(self, name: str) -> pfs.Repo:
        return pfs.Repo(name=name, type="user", project=self.project)

    def branch(self, name: Name) -> pfs.Branch:
        return pfs.Branch(repo=self.repo(name[0]), name=name[1])

    def commit(self, name: Name) -> pfs.Commit:
        """By id or by branch; a file set's id counts as one."""
        return pfs.Commit(repo=self.repo(name[0]), id=name[1])


class Step:
    """In a batch a step is its request; alone it may be a call of its own."""

    def tell(self, change: Change) -> None:
        """Raises Refused, Blocks."""
        raise NotImplementedError

    def request(self, to: Api) -> Request:
        raise NotImplementedError

    def ask(self, to: Api) -> None:
        """Raises grpc.RpcError."""
        request = self.request(to)
        (field, message), *_ = request.ListFields()
        method = getattr(to.pfs, "".join(word.capitalize() for word in field.name.split("_")))
        method(message, timeout=CALL_SECONDS)


@dataclass(frozen=True)
class CreateRepo(Step):
    repo: str

    def tell(self, change: Change) -> None:
        if self.repo in change.model.repos:
            raise Refused("already exists")
        change.model.repos.add(self.repo)

    def request(self, to: Api) -> Request:
        return Request(create_repo=pfs.CreateRepoRequest(repo=to.repo(self.repo)))


@dataclass(frozen=True)
class DeleteRepo(Step):
    repo: str
    force: bool

    def tell(self, change: Change) -> None:
        change.delete_repo(self.repo, force=self.force)

    def request(self, to: Api) -> Request:
        return Request(delete_repo=pfs.DeleteRepoRequest(repo=to.repo(self.repo), force=self.force))


@dataclass(frozen=True)
class CreateBranch(Step):
    name: Name
    above: tuple[Name, ...] = ()
    head: Name | None = None

    def tell(self, change: Change) -> None:
        change.branch(self.name, self.head, self.above)

    def request(self, to: Api) -> Request:
        above = [to.branch(each) for each in self.above]
        head = to.commit(self.head) if self.head else None
        made = pfs.CreateBranchRequest(branch=to.branch(self.name), provenance=above, head=head)
        return Request(create_branch=made)


@dataclass(frozen=True)
class DeleteBranch(Step):
    name: Name
    force: bool

    def tell(self, change: Change) -> None:
        if self.name not in change.model.branches:
            raise Refused("not found")
        change.delete_branches([self.name], force=self.force)

    def request(self, to: Api) -> Request:
        return Request(delete_branch=pfs.DeleteBranchRequest(branch=to.branch(self.name), force=self.force))


@dataclass(frozen=True)
class StartCommit(Step):
    name: Name
    parent: Name | None = None

    def tell(self, change: Change) -> None:
        change.start(self.name, self.parent)

    def request(self, to: Api) -> Request:
        parent = to.commit(self.parent) if self.parent else None
        return Request(start_commit=pfs.StartCommitRequest(branch=to.branch(self.name), parent=parent))


@dataclass(frozen=True)
class FinishCommit(Step):
    name: Name
    error: str = ""

    def tell(self, change: Change) -> None:
        change.finish(self.name, self.error)

    def request(self, to: Api) -> Request:
        return Request(finish_commit=pfs.FinishCommitRequest(commit=to.commit(self.name), error=self.error))


@dataclass(frozen=True)
class SquashSet(Step):
    id: str

    def tell(self, change: Change) -> None:
        change.delete_set(self.id, squash=True)

    def request(self, to: Api) -> Request:
        return Request(squash_commit_set=pfs.SquashCommitSetRequest(commit_set=pfs.CommitSet(id=self.id)))


@dataclass(frozen=True)
class DropSet(Step):
    id: str

    def tell(self, change: Change) -> None:
        change.delete_set(self.id, squash=False)

    def ask(self, to: Api) -> None:
        request = pfs.DropCommitSetRequest(commit_set=pfs.CommitSet(id=self.id))
        to.pfs.DropCommitSet(request, timeout=CALL_SECONDS)


@dataclass(frozen=True)
class DeleteCommit(Step):
    name: Name
    recursive: bool
    squash: bool

    def tell(self, change: Change) -> None:
        change.delete_commit(self.name, recursive=self.recursive, squash=self.squash)

    def ask(self, to: Api) -> None:
        commit = to.commit(self.name)
        if self.squash:
            to.pfs.SquashCommit(pfs.SquashCommitRequest(commit=commit, recursive=self.recursive), timeout=CALL_SECONDS)
        else:
            to.pfs.DropCommit(pfs.DropCommitRequest(commit=commit, recursive=self.recursive), timeout=CALL_SECONDS)


@dataclass(frozen=True)
class ClearCommit(Step):
    name: Name

    def tell(self, change: Change) -> None:
        commit = change.model.commit(self.name)
        if commit.closed:
            raise Refused("cannot clear finished commit")
        commit.layers = []

    def ask(self, to: Api) -> None:
        to.pfs.ClearCommit(pfs.ClearCommitRequest(commit=to.commit(self.name)), timeout=CALL_SECONDS)


@dataclass(frozen=True)
class Batch(Step):
    steps: tuple[Step, ...]

    def tell(self, change: Change) -> None:
        for step in self.steps:
            step.tell(change)

    def ask(self, to: Api) -> None:
        requests = [step.request(to) for step in self.steps]
        to.transactions.BatchTransaction(transaction.BatchTransactionRequest(requests=requests), timeout=CALL_SECONDS)
