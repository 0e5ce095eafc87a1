"""From what changed in the files of leaves to what changed in the datums of an input tree.

`come` gives the datums that are new or whose content is another, `gone` those that are no more; what neither mentions
is as it was. A datum is told from others by the leaves and paths of its files, so one that is given by several leaves
comes and goes once for each of them, as often as `inputs.datums` gives it.
Cost: the files that changed, and what the datums they are part of consist of; never the datums that stay.
Elsewhere: the datums of a whole tree (inputs.py); where changes come from (operations/running/); what runs (plans.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

from services.jobs.domain.datums import Datum, InputFile, Leaf
from services.jobs.domain.planning.inputs import (
    Cross,
    Group,
    Input,
    Join,
    Union,
    datums,
    grouped,
    joined,
    key_of,
    leaves,
    product_of,
)

Identity = tuple[tuple[Leaf, str], ...]
Come = tuple[Datum, bool]
"""A datum, and whether it was not there before."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a file. old None: it is new; new None: it is gone."""

    old: InputFile | None
    new: InputFile | None

    @property
    def file(self) -> InputFile:
        found = self.new or self.old
        assert found is not None
        return found


class Files(Protocol):
    """The files of leaves before and now."""

    def changes(self, leaf: Leaf) -> Sequence[Changed]:
        """In path order."""
        ...

    def now(self, leaf: Leaf) -> Sequence[InputFile]:
        """All files, in path order; asked for leaves of `whole` only."""
        ...

    def members(self, node: Join | Group, key: str) -> list[list[InputFile]]:
        """The files that a join or group had under a key before, child by child."""
        ...


def is_comparable(tree: Input) -> bool:
    """Whether changes of the tree's datums can be told from changes of its files."""
    by_id: dict[tuple[str, str, str], set[tuple[str, str, bool]]] = {}
    for leaf in leaves(tree):
        more = leaf.project, leaf.repo_type, leaf.reference
        by_id.setdefault((leaf.name, leaf.repo, leaf.branch), set()).add(more)
    return all(len(kinds) == 1 for kinds in by_id.values()) and _is_plain(tree)


def may_repeat(tree: Input) -> bool:
    """Whether datums of one id may come from several leaves."""
    names = [(leaf.name, leaf.repo, leaf.branch) for leaf in leaves(tree)]
    return len(set(names)) < len(names)


def keyed(tree: Input) -> list[Join | Group]:
    """The joins and groups of a tree, each once, from left to right."""
    if isinstance(tree, Leaf):
        return []
    if isinstance(tree, Join | Group):
        return [tree]
    return list(dict.fromkeys(node for child in tree.children for node in keyed(child)))


def whole(tree: Input, files: Files) -> list[Leaf]:
    """The leaves all of whose files `come` and `gone` are going to ask for."""
    found: list[Leaf] = []
    if isinstance(tree, Cross):
        for child, listed in zip(tree.children, _listed(tree, files), strict=True):
            found += leaves(child) if listed else whole(child, files)
    elif isinstance(tree, Union):
        for child in tree.children:
            found += whole(child, files)
    return list(dict.fromkeys(found))


def come(tree: Input, files: Files) -> Iterator[Come]:
    """Datums that are new or have another content."""
    match tree:
        case Leaf():
            for change in files.changes(tree):
                if change.new is not None:
                    yield (change.new,), change.old is None
        case Union():
            for child in tree.children:
                yield from come(child, files)
        case Cross():
            yield from _product_come(_sides(tree, files))
        case Join() | Group():
            for before, now in _touched(tree, files):
                yield from _join_come(before, now) if isinstance(tree, Join) else _group_come(before, now)


def gone(tree: Input, files: Files) -> Iterator[Datum]:
    """Datums that are no more, with the files they had."""
    match tree:
        case Leaf():
            for change in files.changes(tree):
                if change.new is None:
                    yield (change.file,)
        case Union():
            for child in tree.children:
                yield from gone(child, files)
        case Cross():
            yield from _product_gone(_sides(tree, files))
        case Join() | Group():
            for before, now in _touched(tree, files):
                yield from _join_gone(before, now) if isinstance(tree, Join) else _group_gone(before, now)


def identity(datum: Datum) -> Identity:
    return tuple((file.leaf, file.path) for file in datum)


@dataclass(frozen=True, slots=True)
class _Side:
    """One factor of a product. came: what is new or changed, and whether it is new; left: what is gone.

    now: all of it; it need not be given where nothing of the other factors came or is gone.
    """

    now: Sequence[Datum]
    came: dict[Identity, Come]
    left: Sequence[Datum]

    def same(self) -> list[Datum]:
        return [datum for datum in self.now if identity(datum) not in self.came] if self.came else list(self.now)

    def stayed(self) -> list[Datum]:
        """What is there now and was before, whatever its content."""
        return [datum for datum in self.now if not self.is_fresh(datum)]

    def is_fresh(self, datum: Datum) -> bool:
        """Whether it was not there before."""
        return bool(self.came) and self.came.get(identity(datum), (datum, False))[1]


def _sides(tree: Cross, files: Files) -> list[_Side]:
    if not any(files.changes(leaf) for leaf in leaves(tree)):
        return []
    return [_side(child, files, listed) for child, listed in zip(tree.children, _listed(tree, files), strict=True)]


def _listed(tree: Cross, files: Files) -> list[bool]:
    """Of which children all datums are needed: of those that are combined with what has changed in another."""
    changed = [any(files.changes(leaf) for leaf in leaves(child)) for child in tree.children]
    return [sum(changed) > has_changed for has_changed in changed]


def _side(child: Input, files: Files, listed: bool) -> _Side:
    came = {identity(datum): (datum, fresh) for datum, fresh in come(child, files)}
    return _Side(list(datums(child, files.now)) if listed else [], came, list(gone(child, files)))


def _product_come(sides: list[_Side]) -> Iterator[Come]:
    """Combinations with at least one part that came: those where it is the first such part, for each place."""
    for place, side in enumerate(sides):
        if not side.came:
            continue
        here = [datum for datum, _ in side.came.values()]
        parts = [*(before.same() for before in sides[:place]), here, *(after.now for after in sides[place + 1 :])]
        for combination in product(*parts):
            fresh = any(side.is_fresh(part) for side, part in zip(sides, combination, strict=True))
            yield _concatenated(combination), fresh


def _product_gone(sides: list[_Side]) -> Iterator[Datum]:
    """Combinations of before with at least one part that is gone."""
    for place, side in enumerate(sides):
        if not side.left:
            continue
        kept = [before.stayed() for before in sides[:place]]
        were = [[*after.stayed(), *after.left] for after in sides[place + 1 :]]
        for combination in product(*kept, side.left, *were):
            yield _concatenated(combination)


def _concatenated(parts: Sequence[Datum]) -> Datum:
    return tuple(file for part in parts for file in part)


Parts = list[list[InputFile]]
"""Files of one key, child by child."""


def _touched(node: Join | Group, files: Files) -> Iterator[tuple[Parts, Parts]]:
    """What a join or group had, and has, under each key that a change touches."""
    by_key: dict[str, list[tuple[int, Changed]]] = {}
    for index, child in enumerate(node.children):
        for leaf in leaves(child):
            for change in files.changes(leaf):
                by_key.setdefault(key_of(node, change.file), []).append((index, change))
    for key in sorted(by_key):
        before = files.members(node, key)
        now = [{(file.leaf, file.path): file for file in part} for part in before]
        for index, change in by_key[key]:
            place = change.file.leaf, change.file.path
            if change.new is None:
                now[index].pop(place, None)
            else:
                now[index][place] = change.new
        yield before, [list(part.values()) for part in now]


def _join_sides(before: Parts, now: Parts) -> list[_Side] | None:
    """The factors of a key's product; None when other children take part than before, so that no datum stays."""
    were, are = joined(before), joined(now)
    if [bool(part) for part in were] != [bool(part) for part in are]:
        return None
    return [_part_side(was, part) for was, part in zip(were, are, strict=True) if part]


def _part_side(before: list[InputFile], now: list[InputFile]) -> _Side:
    known = {(file.leaf, file.path): file.digest for file in before}
    came: dict[Identity, Come] = {
        ((file.leaf, file.path),): ((file,), (file.leaf, file.path) not in known)
        for file in now
        if known.get((file.leaf, file.path)) != file.digest
    }
    still = {(file.leaf, file.path) for file in now}
    left = [(file,) for file in before if (file.leaf, file.path) not in still]
    return _Side([(file,) for file in now], came, left)


def _join_come(before: Parts, now: Parts) -> Iterator[Come]:
    sides = _join_sides(before, now)
    if sides is None:
        yield from ((datum, True) for datum in product_of(joined(now)))
    else:
        yield from _product_come(sides)


def _join_gone(before: Parts, now: Parts) -> Iterator[Datum]:
    sides = _join_sides(before, now)
    yield from product_of(joined(before)) if sides is None else _product_gone(sides)


def _group_come(before: Parts, now: Parts) -> Iterator[Come]:
    was, datum = grouped(before), grouped(now)
    fresh = identity(was) != identity(datum)
    if datum and (fresh or [file.digest for file in was] != [file.digest for file in datum]):
        yield datum, fresh


def _group_gone(before: Parts, now: Parts) -> Iterator[Datum]:
    was = grouped(before)
    if was and identity(was) != identity(grouped(now)):
        yield was


def _is_plain(tree: Input) -> bool:
    """Whether a datum of anything but a union has one origin, and joins and groups have nothing but files below.

    A join of files some of which are outer and some not is none either: its datums are no product.
    """
    below = list(leaves(tree))
    if isinstance(tree, Union):
        return all(map(_is_plain, tree.children))
    if isinstance(tree, Leaf) or len(set(below)) < len(below):
        return isinstance(tree, Leaf)
    if isinstance(tree, Cross):
        return all(map(_is_plain, tree.children))
    if isinstance(tree, Join) and any(len({leaf.outer_join for leaf in leaves(one)}) > 1 for one in tree.children):
        return False
    other = "group_by" if isinstance(tree, Join) else "join_on"
    return all(map(_is_files, tree.children)) and not any(getattr(leaf, other) for leaf in below)


def _is_files(tree: Input) -> bool:
    return isinstance(tree, Leaf) or (isinstance(tree, Union) and all(map(_is_files, tree.children)))
