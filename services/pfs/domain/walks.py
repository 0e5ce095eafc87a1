"""Walks over edges, whatever they join: closures nearest first, and an order in which nothing precedes its causes."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def closure(
    start: T,
    edges: Callable[[Iterable[T]], Mapping[T, Sequence[T]]],
    *,
    most: int | None = None,
    depth: int | None = None,
) -> list[T]:
    """All that can be reached from `start`, nearest first and without it.

    edges: the neighbours of several nodes at once, so that each level of the walk is one question.
    """
    seen = {start}
    found: list[T] = []
    frontier = [start]
    level = 0
    while frontier and (depth is None or level < depth) and (most is None or len(found) < most):
        level += 1
        near = edges(frontier)
        fresh: dict[T, None] = {}
        for node in frontier:
            fresh.update((other, None) for other in near.get(node, ()) if other not in seen)
        seen.update(fresh)
        found.extend(fresh)
        frontier = list(fresh)
    return found if most is None else found[:most]


def in_order(nodes: Sequence[T], causes: Callable[[T], Iterable[T]]) -> list[T]:
    """`nodes`, each after those of its causes that are among them; otherwise as given. There must be no cycle."""
    wanted = set(nodes)
    placed: dict[T, None] = {}
    for first in nodes:
        path = [first]
        while path:
            node = path[-1]
            waits = [cause for cause in causes(node) if cause in wanted and cause not in placed]
            if node in placed or not waits:
                placed[path.pop()] = None
            else:
                path.append(waits[0])
    return list(placed)
