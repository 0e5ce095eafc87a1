"""What clients do to files: streams of writes into commits, and file sets.

Elsewhere: all other steps (steps.py); what writes do to a tree (trees.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.model.model import Change, Commit, Model, Name, Refused
from tests.system.model.steps import CALL_SECONDS, Api, Step
from tests.system.model.trees import Effect, Gone, Put, Tree, copied, removed_below
from tests.system.pfs import driver

TOTAL = pfs.GetFileSetRequest.TOTAL


@dataclass(frozen=True)
class Append:
    """In a stream: bytes are appended."""

    path: str
    data: bytes
    datum: str

    def wire(self, to: Api) -> driver.Change:
        return driver.put(self.path, self.data, self.datum)

    def effects(self, model: Model, seen: Tree, own: Sequence[Effect]) -> Iterator[Effect]:
        yield Put((self.path, self.datum), self.data)


@dataclass(frozen=True)
class Remove:
    """In a stream: a file goes, or everything below a path that ends in "/"."""

    path: str
    datum: str

    def wire(self, to: Api) -> driver.Change:
        return driver.delete(self.path, self.datum)

    def effects(self, model: Model, seen: Tree, own: Sequence[Effect]) -> Iterator[Effect]:
        if self.path.endswith("/"):
            yield from removed_below(seen, own, self.path, self.datum)
        else:
            yield Gone((self.path, self.datum))


@dataclass(frozen=True)
class Copy:
    """In a stream: what a commit shows at a path is put elsewhere."""

    source: Name
    path: str
    to: str
    datum: str
    append: bool

    def wire(self, to: Api) -> driver.Change:
        source = pfs.File(commit=to.commit(self.source), path=self.path)
        copy = pfs.CopyFile(src=source, dst=self.to, datum=self.datum, append=self.append)
        return driver.Change(copy_file=copy)

    def effects(self, model: Model, seen: Tree, own: Sequence[Effect]) -> Iterator[Effect]:
        tree = model.view(model.commit(self.source))
        yield from copied(tree, self.path, self.to, self.datum, append=self.append)


Write = Append | Remove | Copy


def written(model: Model, writes: Sequence[Write], seen: Commit | None) -> tuple[Effect, ...]:
    """The layer that a stream becomes. Raises Refused, Blocks."""
    deep = any(isinstance(write, Remove) and write.path.endswith("/") for write in writes)
    tree = model.view(seen) if deep and seen is not None else {}
    effects: list[Effect] = []
    for write in writes:
        effects += write.effects(model, tree, effects)
    return tuple(effects)


@dataclass(frozen=True)
class Modify(Step):
    """Into an open commit, or one-shot on a branch."""

    name: Name
    writes: tuple[Write, ...]
    by_id: bool

    def tell(self, change: Change) -> None:
        model = change.model
        model.repo(self.name[0])
        if self.by_id or self.name in model.branches:
            seen: Commit | None = model.commit(self.name)
        else:
            seen = None
        if seen is not None and not seen.closed:
            seen.layers.append(written(model, self.writes, seen))
            return
        if self.by_id:
            raise Refused("has already finished")
        if self.name in model.branches and model.branches[self.name].above:
            raise Refused("cannot start a commit on an output branch")
        layer = written(model, self.writes, seen)
        change.start(self.name).layers.append(layer)
        change.finish(self.name)

    def ask(self, to: Api) -> None:
        def messages() -> Iterator[driver.Change]:
            yield driver.Change(set_commit=to.commit(self.name))
            yield from (write.wire(to) for write in self.writes)

        to.pfs.ModifyFile(messages(), timeout=CALL_SECONDS)


@dataclass(frozen=True)
class AddFileSet(Step):
    """A file set is appended to an open commit."""

    name: Name
    file_set: str

    def tell(self, change: Change) -> None:
        commit = change.model.commit(self.name)
        if commit.closed:
            raise Refused("has already finished")
        commit.layers.append(change.model.file_sets[self.file_set])

    def ask(self, to: Api) -> None:
        request = pfs.AddFileSetRequest(commit=to.commit(self.name), file_set_id=self.file_set)
        to.pfs.AddFileSet(request, timeout=CALL_SECONDS)


def file_set_of(to: Api, model: Model, writes: Sequence[Write]) -> tuple[str, tuple[Effect, ...]]:
    """Make a file set: its id, and what it does. Raises Refused, Blocks."""
    effects = written(model, writes, None)
    made = to.pfs.CreateFileSet((write.wire(to) for write in writes), timeout=CALL_SECONDS)
    return made.file_set_id, effects


def total_of(to: Api, model: Model, name: Name) -> tuple[str, tuple[Effect, ...]]:
    """A file set of all that a commit shows, an open one's own removals too. Raises Refused, Blocks."""
    effects = model.total(model.commit(name))
    made = to.pfs.GetFileSet(pfs.GetFileSetRequest(commit=to.commit(name), type=TOTAL), timeout=CALL_SECONDS)
    return made.file_set_id, effects
