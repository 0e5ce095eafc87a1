"""Parts of a pattern as functions: begun at a place of a path, where may they end?

A regular expression tries the ways through a repeated group one after the other, and there may be more of them than
can ever be tried; sets of places are found in a time that grows with the path's length alone.
Elsewhere: reading patterns (globs.py).
"""

from collections.abc import Callable, Sequence

Ends = Callable[[bytes, int], set[int]]


def literal(text: bytes) -> Ends:
    return lambda path, start: {start + len(text)} if path.startswith(text, start) else set()


def one_of(fits: Callable[[bytes], object]) -> Ends:
    """One byte that fits; never a slash."""

    def ends(path: bytes, start: int) -> set[int]:
        byte = path[start : start + 1]
        return {start + 1} if byte and byte != b"/" and fits(byte) else set()

    return ends


def run(path: bytes, start: int) -> set[int]:
    """Anything within a name."""
    slash = path.find(b"/", start)
    return set(range(start, (len(path) if slash < 0 else slash) + 1))


def any_run(path: bytes, start: int) -> set[int]:
    """Anything."""
    return set(range(start, len(path) + 1))


def sequence(parts: Sequence[Ends]) -> Ends:
    def ends(path: bytes, start: int) -> set[int]:
        found = {start}
        for part in parts:
            found = {end for begin in found for end in part(path, begin)}
        return found

    return ends


def either(options: Sequence[Ends]) -> Ends:
    return lambda path, start: {end for option in options for end in option(path, start)}


def optional(part: Ends) -> Ends:
    return lambda path, start: {start} | part(path, start)


def repeated(part: Ends, *, at_least_once: bool) -> Ends:
    def ends(path: bytes, start: int) -> set[int]:
        found: set[int] = set() if at_least_once else {start}
        fresh = {start}
        while fresh:
            fresh = {end for begin in fresh for end in part(path, begin)} - found
            found |= fresh
        return found

    return ends


def anything_but(part: Ends, *, to_the_end: bool) -> Ends:
    """Anything within a name, unless `part` begins there, or (to_the_end) makes up all of the rest."""

    def ends(path: bytes, start: int) -> set[int]:
        found = part(path, start)
        return set() if (len(path) in found if to_the_end else found) else run(path, start)

    return ends
