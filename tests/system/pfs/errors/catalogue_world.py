"""What the calls of the error catalogue are made on (test_error_catalogue.py)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.servers import unique
from tests.system.pfs.driver import Repo, finished, head, link, put

CODE = grpc.StatusCode
UNKNOWN, NOT_FOUND, EXISTS, INVALID = CODE.UNKNOWN, CODE.NOT_FOUND, CODE.ALREADY_EXISTS, CODE.INVALID_ARGUMENT
ID = "0" * 12 + "4" + "0" * 19
DASHED = "00000000-0000-4000-8000-000000000000"
PRINTABLE = "only printable ASCII characters allowed"
LETTERS = "only alphanumeric characters, underscores, and dashes are allowed"


@dataclass
class World:
    """A → B, A → P and A → Q: an input with two finished commits, and outputs; P is a pipeline. C is alone.

    F: A's first commit, G: its second; B's commits of the same sets are open, Q's are finished. O: the open commit of
    C. S: a commit of P's spec. K: a set of X → Y whose commit in Y is older than Y's newest, of L. full: a project that
    is not empty.
    """

    a: Repo
    b: Repo
    c: Repo
    p: Repo
    q: Repo
    of_spec: pfs.Commit = field(default_factory=pfs.Commit)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in ("meta", "spec"):
            self.a.api.CreateRepo(pfs.CreateRepoRequest(repo=pfs.Repo(name=self.p.name, type=kind)))
        for below in (self.b, self.p, self.q):
            link(below, self.a)
        for name in "FG":
            commit = self.a.start()
            self.a.modify(put(f"/d/{name}", b"x"), commit=commit)
            self.a.finish(commit)
            self.names[name] = commit.id
        for info in list(self.q.api.ListCommit(pfs.ListCommitRequest(repo=self.q.wire, reverse=True))):
            self.q.finish(info.commit)
        self.names["O"] = self.c.start().id
        x, y = Repo(self.a.channel), Repo(self.a.channel)
        self.names["K"] = finished(x)
        link(y, x)
        self.names["L"] = head(y).commit.id
        start = pfs.StartCommitRequest(branch=pfs.Branch(repo=pfs.Repo(name=self.p.name, type="spec"), name="master"))
        self.of_spec = self.a.api.StartCommit(start)
        self.a.finish(self.of_spec)
        self.names["S"] = self.of_spec.id
        self.names["full"] = unique("full")
        project = pfs.Project(name=self.names["full"])
        self.a.api.CreateProject(pfs.CreateProjectRequest(project=project))
        for name in "rs":
            self.a.api.CreateRepo(pfs.CreateRepoRequest(repo=pfs.Repo(name=name, project=project)))

    def __getattr__(self, name: str) -> str:
        return self.names[name]

    def filled(self, sentence: str) -> str:
        """A sentence with what this world calls things."""
        repos = {name: getattr(self, name).name for name in "abcpq"}
        words = {"ID": ID, "DASHED": DASHED, "LETTERS": LETTERS, "PRINTABLE": PRINTABLE, "X53": "x" * 53}
        return sentence.format(**repos, **words, **self.names)

    def send(self, call: str, **fields: Any) -> None:
        """Send a request of the API's method, and read the whole answer."""
        method = pfs.DESCRIPTOR.services_by_name["API"].methods_by_name[call]
        answer = getattr(self.a.api, call)(getattr(pfs, method.input_type.name)(**fields), timeout=120)
        if method.server_streaming:
            list(answer)

    def id(self, repo: Repo, text: str) -> pfs.Commit:
        return pfs.Commit(repo=repo.wire, id=text)

    def write(self, *changes: pfs.ModifyFileRequest) -> None:
        self.a.api.ModifyFile(iter(changes), timeout=120)

    def branch(self, repo: Repo, name: str) -> pfs.Branch:
        return pfs.Branch(repo=repo.wire, name=name)


def nobody(repo: Repo) -> Repo:
    return Repo(repo.channel, "nobody")


Case = tuple[str, Callable[[World], object], grpc.StatusCode, str]
"""A name, a call, and the status and sentence; {names} are filled in from the world."""
