"""Parts of a pattern as functions: begun at any of these places of a path, where may they end?

A regular expression tries the ways through a pattern one after the other, and there may be more of them than can ever
be tried; sets of places are found in a time that grows with the path's length alone.
Elsewhere: reading patterns (globs.py).
"""

from collections.abc import Callable, Sequence
from functools import reduce

Ends = Callable[[bytes, set[int]], set[int]]


def literal(text: bytes) -> Ends:
    return lambda path, starts: {start + len(text) for start in starts if path.startswith(text, start)}


def one_of(fits: Callable[[bytes], object]) -> Ends:
    """One byte that fits; never a slash."""

    def fit(byte: bytes) -> bool:
        return bool(byte) and byte != b"/" and bool(fits(byte))

    return lambda path, starts: {start + 1 for start in starts if fit(path[start : start + 1])}


def run(path: bytes, starts: set[int]) -> set[int]:
    """Anything within a name."""
    found, end = set[int](), -1
    for start in sorted(starts):
        if start > end:  # else an earlier one in the same name has found all of this one's ends
            slash = path.find(b"/", start)
            end = len(path) if slash < 0 else slash
            found.update(range(start, end + 1))
    return found


def any_run(path: bytes, starts: set[int]) -> set[int]:
    """Anything."""
    return set(range(min(starts), len(path) + 1)) if starts else set()


def sequence(parts: Sequence[Ends]) -> Ends:
    return lambda path, starts: reduce(lambda places, part: part(path, places), parts, starts)


def either(options: Sequence[Ends]) -> Ends:
    return lambda path, starts: set[int]().union(*(option(path, starts) for option in options))


def optional(part: Ends) -> Ends:
    return lambda path, starts: starts | part(path, starts)


def repeated(part: Ends, *, at_least_once: bool) -> Ends:
    def ends(path: bytes, starts: set[int]) -> set[int]:
        found = set[int]() if at_least_once else set(starts)
        fresh = starts
        while fresh:
            fresh = part(path, fresh) - found
            found |= fresh
        return found

    return ends


def anything_but(part: Ends, *, to_the_end: bool) -> Ends:
    """Anything within a name, unless `part` begins there, or (to_the_end) makes up all of the rest."""

    def ends(path: bytes, starts: set[int]) -> set[int]:
        return run(path, {start for start in starts if not excluded(path, start)})

    def excluded(path: bytes, start: int) -> bool:
        found = part(path, {start})
        return len(path) in found if to_the_end else bool(found)

    return ends
