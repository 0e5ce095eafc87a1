"""Which step comes next: drawn from what there is in the model, and sometimes from what is not there.

Elsewhere: when it is drawn, and what becomes of it (machine.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.system.model.model import Blocks, Commit, Model, Name, Refused
from tests.system.model.steps import (
    Batch,
    CreateBranch,
    CreateRepo,
    DeleteBranch,
    DeleteCommit,
    DeleteRepo,
    DropSet,
    FinishCommit,
    SquashSet,
    StartCommit,
    Step,
)
from tests.system.model.writes import Append, Copy, Modify, Remove, Write

REPOS, BRANCHES = ("a", "b", "c", "d"), ("master", "dev")
PATHS = ("/f", "/g", "/d/f", "/d/g", "/d/e/f", "/d-x", "/h")
ODD_PATHS = ("/d", "/f/f")  # with the others they make a path a file and a directory
FOLDERS = ("/", "/d/", "/d/e/", "/f/")
PATTERNS = ("/*", "**", "/d/*", "/*/f", "/d**", "/nothing*")
BIG = bytes(range(256)) * 20_000  # more than one chunk


@dataclass(frozen=True)
class Choice:
    """Draws from one moment of the model."""

    model: Model
    rng: Random

    def rarely(self, one_in: int) -> bool:
        return self.rng.randrange(one_in) == 0

    def repo(self) -> str:
        return self.rng.choice(REPOS if self.rarely(6) else sorted(self.model.repos) or REPOS)

    def branch(self) -> Name:
        known = sorted(self.model.branches)
        return self.rng.choice(known) if known and not self.rarely(5) else self._any_branch()

    def _any_branch(self) -> Name:
        return self.repo(), self.rng.choice(BRANCHES)

    def commit(self, wanted: Callable[[Commit], bool] = lambda _: True) -> Commit | None:
        """One that is wanted, more often a young one; any, when there is none."""
        young = sorted(self.model.commits.values(), key=lambda commit: -commit.born)
        some = [commit for commit in young if wanted(commit)]
        if not some or self.rarely(8):
            some = young
        return some[min(self.rng.randrange(len(some)), self.rng.randrange(len(some)))] if some else None

    def data(self) -> bytes:
        if self.rarely(60):
            return BIG[self.rng.randrange(2) :]
        return self.rng.choice((b"", b"x", b"y\n", b"%d" % self.rng.randrange(50)))

    def datum(self) -> str:
        return "other" if self.rarely(8) else "default"

    def path(self) -> str:
        return self.rng.choice(ODD_PATHS if self.rarely(12) else PATHS)

    def write(self) -> Write:
        source = self.commit() if self.rarely(4) else None
        if source is not None:
            path = self.rng.choice((*PATHS, *FOLDERS))
            return Copy(source.name, path, self.path(), self.datum(), append=self.rarely(2))
        if self.rarely(3):
            return Remove(self.rng.choice((*PATHS, *FOLDERS)), self.datum())
        return Append(self.path(), self.data(), self.datum())

    def writes(self) -> tuple[Write, ...]:
        return tuple(self.write() for _ in range(self.rng.randrange(6)))

    def one_shot(self) -> Step:
        return Modify(self.branch(), self.writes(), by_id=False)

    def modify(self) -> Step:
        commit = self.commit(lambda commit: not commit.closed)
        return self.one_shot() if commit is None else Modify(commit.name, self.writes(), by_id=True)

    def finish(self) -> Step:
        commit = self.commit(lambda commit: not commit.closed)
        if (commit is None or commit.closed) and not self.rarely(6):
            return self.one_shot()
        return FinishCommit(commit.name if commit else self.branch(), "it is bad" if self.rarely(5) else "")

    def finish_open(self) -> Step:
        """In a batch, where only what a request can say may be drawn."""
        return FinishCommit(self.branch())

    def start(self) -> Step:
        name = self.branch()
        busy = self.model.branches.get(name)
        if busy is not None and (busy.above or not self.model.commit(name).closed) and not self.rarely(6):
            return self.modify()
        older = self.commit(lambda commit: commit.name[0] == name[0] and commit.closed) if self.rarely(4) else None
        return StartCommit(name, older.name if older and older.name[0] == name[0] else None)

    def start_any(self) -> Step:
        return StartCommit(self.branch())

    def create_branch(self) -> Step:
        name = self.branch()
        drawn = [self.branch() for _ in range(self.rng.choice((0, 0, 1, 1, 1, 2)))]
        above = tuple(each for each in drawn if each[0] != name[0] or self.rarely(10))
        head = self.commit(lambda commit: commit.name[0] == name[0]) if self.rarely(3) else None
        return CreateBranch(name, above, head.name if head and head.name[0] == name[0] else None)

    def squash_or_drop(self) -> Step:
        commit = self.commit()
        if commit is None:
            return self.one_shot()
        squash = bool(self.model.children(commit.name)) ^ self.rarely(6)
        if self.rarely(2):
            return SquashSet(commit.name[1]) if squash else DropSet(commit.name[1])
        return DeleteCommit(commit.name, recursive=self.rarely(2), squash=squash)

    def squash_set(self) -> Step:
        commit = self.commit(lambda commit: bool(self.model.children(commit.name)))
        return SquashSet(commit.name[1]) if commit else CreateRepo(self.repo())

    def delete_ref(self) -> Step:
        force = not self.rarely(3)
        return DeleteRepo(self.repo(), force) if self.rarely(4) else DeleteBranch(self.branch(), force)

    def create_repo(self) -> Step:
        missing = [repo for repo in REPOS if repo not in self.model.repos]
        return CreateRepo(self.rng.choice(missing) if missing and not self.rarely(4) else self.repo())

    def batch(self) -> Step:
        """Each drawn from what the ones before it would leave; now and then one is among them that is refused."""
        scratch, steps = self.model, list[Step]()
        for _ in range(self.rng.randint(1, 4)):
            now = Choice(scratch, self.rng)
            kinds = [now.start_any, now.start_any, now.finish_open, now.create_branch, now.create_branch]
            kinds += [now.create_repo, now.delete_ref, now.squash_set]
            step = self.rng.choice(kinds)()
            try:
                scratch = scratch.changed(step.tell, f"step {len(steps)}")
            except (Refused, Blocks):
                if not self.rarely(6):
                    continue
            if not any(str(step).count(f"step {count}") for count in range(len(steps))):
                steps.append(step)
        return Batch(tuple(steps))
