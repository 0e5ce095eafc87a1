"""From an input tree and the files of its leaves to datums: pfs, cross, union, join, group, to any depth.

A pfs input gives one datum per match, in path order. cross is the product in child order, union the concatenation.
join and group take the inputs of their children one by one, each with its own key: join makes the product of the
children per key, group one datum per key. Ids repeat when alternatives coincide; whoever makes a job keeps the first.
Elsewhere: where the files come from (operations/running/planning.py); ids and hashes (datums.py).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from services.jobs.domain.datums import Datum, InputFile, Leaf, datum_id


@dataclass(frozen=True, slots=True)
class Cross:
    """Every combination of its children's datums."""

    children: "tuple[Input, ...]"


@dataclass(frozen=True, slots=True)
class Union:
    """Its children's datums, one after another."""

    children: "tuple[Input, ...]"


@dataclass(frozen=True, slots=True)
class Join:
    """Combinations of inputs that agree in join_on."""

    children: "tuple[Input, ...]"


@dataclass(frozen=True, slots=True)
class Group:
    """One datum for each value of group_by."""

    children: "tuple[Input, ...]"


Input = Leaf | Cross | Union | Join | Group
FilesOf = Callable[[Leaf], Iterable[InputFile]]
"""The files of a leaf, in path order; may be asked for more than once."""


def leaves(tree: Input) -> Iterator[Leaf]:
    """The pfs inputs of a tree, from left to right."""
    if isinstance(tree, Leaf):
        yield tree
    else:
        for child in tree.children:
            yield from leaves(child)


def datums(tree: Input, files_of: FilesOf) -> Iterator[Datum]:
    """The datums of a tree; ids may repeat."""
    match tree:
        case Leaf():
            for file in files_of(tree):
                yield (file,)
        case Cross():
            yield from _cross(tree.children, files_of)
        case Union():
            for child in tree.children:
                yield from datums(child, files_of)
        case Join():
            yield from _join(tree.children, files_of)
        case Group():
            yield from _group(tree.children, files_of)


def _cross(children: tuple[Input, ...], files_of: FilesOf) -> Iterator[Datum]:
    first, *others = children
    # The first child is streamed; only the others are kept, since each is walked many times.
    kept = [list(datums(child, files_of)) for child in others]
    if not all(kept):
        return
    for head in datums(first, files_of):
        for tail in product(*kept):
            yield tuple(file for part in (head, *tail) for file in part)


def _join(children: tuple[Input, ...], files_of: FilesOf) -> Iterator[Datum]:
    by_key: dict[str, list[list[InputFile]]] = {}
    for index, child in enumerate(children):
        for file in _single(child, files_of):
            by_key.setdefault(file.join_on, [[] for _ in children])[index].append(file)
    for key in sorted(by_key):
        parts = by_key[key]
        if all(parts):
            yield from product(*parts)
            continue
        # A shared file in a shrunken combination appears once: the product over what is left, without repeats.
        kept = [[file for file in part if file.leaf.outer_join] for part in parts]
        present = [part for part in kept if part]
        if present:
            yield from product(*present)


def _group(children: tuple[Input, ...], files_of: FilesOf) -> Iterator[Datum]:
    by_key: dict[str, list[InputFile]] = {}
    for child in children:
        members: dict[str, list[InputFile]] = {}
        for file in _single(child, files_of):
            members.setdefault(file.group_by, []).append(file)
        for key, files in members.items():
            by_key.setdefault(key, []).extend(sorted(files, key=lambda file: datum_id((file,))))
    for key in sorted(by_key):
        yield tuple(by_key[key])


def _single(child: Input, files_of: FilesOf) -> Iterator[InputFile]:
    for datum in datums(child, files_of):
        yield from datum
