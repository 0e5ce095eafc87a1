"""The glob dialect against a matcher that follows its definition: each part says where in the path it may end.

Patterns are made as trees, written out as text, and given to both. The matcher knows nothing of regular expressions.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.pfs.domain.files.globs import compile_glob

LETTERS = "ab-."


@dataclass(frozen=True)
class Part:
    """A part of a pattern: how it is written, and where it may end when it begins at `start`."""

    def text(self) -> str:
        raise AssertionError

    def ends(self, path: str, start: int) -> set[int]:
        raise AssertionError

    def groups(self) -> int:
        return 0


@dataclass(frozen=True)
class Literal(Part):
    letters: str
    escaped: bool = False

    def text(self) -> str:
        return "".join("\\" + letter for letter in self.letters) if self.escaped else self.letters

    def ends(self, path: str, start: int) -> set[int]:
        return {start + len(self.letters)} if path.startswith(self.letters, start) else set()


@dataclass(frozen=True)
class Run(Part):
    crosses: bool

    def text(self) -> str:
        return "**" if self.crosses else "*"

    def ends(self, path: str, start: int) -> set[int]:
        found = {start}
        for at in range(start, len(path)):
            if path[at] == "/" and not self.crosses:
                break
            found.add(at + 1)
        return found


@dataclass(frozen=True)
class Class(Part):
    members: str
    negated: str
    anything: bool = False

    def text(self) -> str:
        return "?" if self.anything else f"[{self.negated}{self.members}]"

    def ends(self, path: str, start: int) -> set[int]:
        if start >= len(path) or path[start] == "/":
            return set()
        inside = path[start] in self._members()
        return {start + 1} if self.anything or inside != bool(self.negated) else set()

    def _members(self) -> str:
        return {"a-b": "ab", "[:alpha:]": "ab", "[:punct:]": "-."}.get(self.members, self.members)


@dataclass(frozen=True)
class Sequence(Part):
    parts: tuple[Part, ...]

    def text(self) -> str:
        return "".join(part.text() for part in self.parts)

    def ends(self, path: str, start: int) -> set[int]:
        found = {start}
        for part in self.parts:
            found = {end for begin in found for end in part.ends(path, begin)}
        return found

    def groups(self) -> int:
        return sum(part.groups() for part in self.parts)


@dataclass(frozen=True)
class Choice(Part):
    kind: str
    """"{" for braces, "" or "@" for exactly one, "?", "*", "+"."""
    options: tuple[Sequence, ...]

    def text(self) -> str:
        inner = [option.text() for option in self.options]
        return "{" + ",".join(inner) + "}" if self.kind == "{" else f"{self.kind}({'|'.join(inner)})"

    def ends(self, path: str, start: int) -> set[int]:
        once = self._once(path, {start})
        if self.kind in ("{", "", "@"):
            return once
        if self.kind == "?":
            return once | {start}
        found = once | ({start} if self.kind == "*" else set())
        fresh = once
        while fresh:
            fresh = self._once(path, fresh) - found
            found |= fresh
        return found

    def groups(self) -> int:
        return (self.kind != "{") + sum(option.groups() for option in self.options)

    def _once(self, path: str, starts: Iterable[int]) -> set[int]:
        return {end for start in starts for option in self.options for end in option.ends(path, start)}


LITERALS = st.builds(Literal, st.text(LETTERS, min_size=1, max_size=2), st.booleans())
CLASSES = st.builds(
    Class,
    st.sampled_from(["a", "b", "ab", "a-b", "[:alpha:]", "[:punct:]", ".b"]),
    st.sampled_from(["", "!", "^"]),
    st.booleans(),
)
SIMPLE: st.SearchStrategy[Part] = st.one_of(LITERALS, LITERALS, st.builds(Run, st.booleans()), CLASSES)


def plain(parts: list[Part]) -> Sequence:
    """Without runs next to each other, and without what would be read together with the character before it."""
    kept: list[Part] = []
    for part in parts:
        if kept and isinstance(kept[-1], Run) and isinstance(part, Run):
            continue
        if kept and isinstance(part, Choice) and part.kind in ("", "*") and kept[-1].text()[-1] in "*?":
            continue
        kept.append(part)
    return Sequence(tuple(kept))


def choices(inner: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    options = st.lists(st.lists(inner, min_size=1, max_size=2).map(plain), min_size=1, max_size=3).map(tuple)
    return st.builds(Choice, st.sampled_from(["{", "", "@", "?", "*", "+"]), options)


PARTS = st.recursive(SIMPLE, choices, max_leaves=4)
NAMES = st.lists(PARTS, min_size=1, max_size=3).map(plain)
PATTERNS = st.lists(NAMES, min_size=1, max_size=3)
PATHS = st.lists(st.text(LETTERS, min_size=1, max_size=3), min_size=1, max_size=3)


@settings(max_examples=400, deadline=None)
@given(PATTERNS, PATHS)
@example([Sequence((Run(False),))], ["a", "b"])
def test_a_pattern_matches_what_its_definition_says(names: list[Sequence], path_names: list[str]) -> None:
    text = "".join("/" + name.text() for name in names)
    if "***" in text:
        return
    path = "/" + "/".join(path_names)
    whole = Sequence(tuple(part for name in names for part in (Literal("/"), name)))
    glob = compile_glob(text)
    expected = len(path) in whole.ends(path, 0)
    assert glob.matches(path.encode()) == expected
    assert (len(path) in glob.ends(path.encode(), {0})) == expected
    captures = glob.captures(path.encode())
    assert (captures is not None) == expected
    if captures is not None:
        assert len(captures) == whole.groups()
        assert path.startswith(glob.prefix.decode())
        assert glob.depth in (None, path.count("/"))
        assert all(capture in path for capture in captures)
