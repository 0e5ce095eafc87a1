"""From an input tree and the files of its leaves to datums: pfs, cross, union, join, group, to any depth.

A pfs input gives one datum per match, in path order. cross is the product in child order, union the concatenation.
join and group take the inputs of their children one by one, each with its own key: join makes the product of the
children per key, group one datum per key. Ids repeat when alternatives coincide; whoever makes a job keeps the first.
Elsewhere: where the files come from (operations/planning/planner.py); ids and hashes (datums.py).
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
        yield from join_of(by_key[key])


def joined(parts: list[list[InputFile]]) -> list[list[InputFile]]:
    """What a join combines of the files under a key, child by child: where some have none, only outer files.

    For children whose files are all outer, or all not.
    """
    return parts if all(parts) else [[file for file in part if file.leaf.outer_join] for part in parts]


def product_of(parts: list[list[InputFile]]) -> Iterator[Datum]:
    """The combinations of those parts that are not empty."""
    present = [part for part in parts if part]
    if present:
        yield from product(*present)


def join_of(parts: list[list[InputFile]]) -> Iterator[Datum]:
    """The datums of a key of a join. Where a child has no file, combinations of the others shrink to outer files."""
    if all(parts):
        yield from product(*parts)
        return
    choices = list[list[InputFile | None]]()
    for part in filter(None, parts):
        outer = [file for file in part if file.leaf.outer_join]
        choices.append([*outer, None] if len(outer) < len(part) else [*outer])
    for combination in product(*choices):
        if datum := tuple(file for file in combination if file is not None):
            yield datum


def _group(children: tuple[Input, ...], files_of: FilesOf) -> Iterator[Datum]:
    by_key: dict[str, list[list[InputFile]]] = {}
    for index, child in enumerate(children):
        for file in _single(child, files_of):
            by_key.setdefault(file.group_by, [[] for _ in children])[index].append(file)
    for key in sorted(by_key):
        yield grouped(by_key[key])


def grouped(parts: list[list[InputFile]]) -> Datum:
    """The datum of a key of a group: all its files, child by child, each once a child."""
    unique = ({datum_id((file,)): file for file in part} for part in parts)
    return tuple(part[id] for part in unique for id in sorted(part))


def key_of(node: Join | Group, file: InputFile) -> str:
    """Under which key a join or group has a file."""
    return file.join_on if isinstance(node, Join) else file.group_by


def _single(child: Input, files_of: FilesOf) -> Iterator[InputFile]:
    for datum in datums(child, files_of):
        yield from datum
