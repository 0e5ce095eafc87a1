"""Patterns over paths: what a glob matches, what its groups capture, and how far a scan for it must look.

A pattern is brought into the form of a path first ("/" in front, none behind) and must match a whole path, written
without its trailing "/"; the root is the empty path. "/" separates: only "**" and text in the pattern cross it.
  *  **  ?  [abc] [!a-z] [[:alpha:]]  {a,b}  \\c   and the capturing (a|b) @(a|b) ?(a|b) *(a|b) +(a|b) !(a|b)
Elsewhere: walking a tree with a pattern (operations/files/read.py).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from services.kit.errors import Problem
from services.pfs.domain.files import glob_ends
from services.pfs.domain.files.glob_ends import Ends
from services.pfs.domain.files.paths import canonical

SPECIAL = frozenset("*?[]{}!()@+^")
MOST_WAYS = 100_000  # an expression holds up the whole process while it tries them: a millisecond or two
MOST_NESTED = 50
_ENDLESS = 100  # ways of a group that may be repeated
_POSIX = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "ascii": r"\x00-\x7f", "blank": r"\t ", "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~",
    "space": r"\s", "upper": "A-Z", "word": r"0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


class BadGlob(Problem):
    """A pattern that cannot be read."""

    def __init__(self, pattern: str, why: str) -> None:
        super().__init__(f"glob ({pattern}) invalid: {why}")


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled pattern."""

    expression: re.Pattern[bytes]
    """Over a path without its trailing "/"."""
    prefix: bytes
    """Every path that matches begins with it."""
    depth: int | None
    """Every path that matches has so many names; None when that depends."""
    ends: Ends
    """The whole pattern once more, for paths on which the expression might take for ever to say no."""
    ways: int
    """The expression tries len(path) ** ways ways through a path at most, more or less."""

    def matches(self, path: bytes) -> bool:
        """path: without its trailing "/"."""
        if self.ways > 1 and len(path) ** self.ways > MOST_WAYS:
            return len(path) in self.ends(path, {0})
        return self.expression.fullmatch(path) is not None

    def captures(self, path: bytes) -> list[str] | None:
        """What the groups matched, from the first; "" for one that took no part. None: no match."""
        found = self.expression.fullmatch(path) if self.matches(path) else None
        return None if found is None else [(group or b"").decode() for group in found.groups()]


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> Glob:
    """Raises BadGlob."""
    if not all(" " <= character <= "~" for character in pattern):
        raise BadGlob(pattern, "only printable ASCII characters allowed")
    clean = canonical(pattern)
    if clean == "/":
        return Glob(re.compile(rb""), b"", 0, glob_ends.literal(b""), 0)
    parser = _Parser(clean)
    try:
        whole = parser.sequence("")
        expression = re.compile(whole.text.encode(), re.DOTALL)
    except re.error as error:
        raise BadGlob(pattern, str(error)) from error
    depth = None if parser.crosses else clean.count("/")
    return Glob(expression, _prefix(clean).encode(), depth, whole.ends, parser.ways + parser.ways_in_names)


def _prefix(pattern: str) -> str:
    """The text before the first special character, with escapes taken away."""
    found, at = [], 0
    while at < len(pattern) and pattern[at] not in SPECIAL:
        if pattern[at] == "\\" and at + 1 < len(pattern):
            at += 1
        found.append(pattern[at])
        at += 1
    return "".join(found)


class _Part(NamedTuple):
    """A part of a pattern, in both of its forms."""

    text: str
    ends: Ends


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0
        self.crosses = False
        """Whether matches may have different numbers of names."""
        self.ways = 0
        """How many parts may end in several places, in whichever name."""
        self.ways_in_names = 0
        """How many parts of one name may end in several places of it; of the name that has most."""
        self._ways_here = 0

    def sequence(self, stop: str) -> _Part:
        """Up to one of the characters in `stop`, which is left, or to the end."""
        parts: list[_Part] = []
        while self._at < len(self._text) and self._text[self._at] not in stop:
            parts.append(self._item())
        return _Part("".join(part.text for part in parts), glob_ends.sequence([part.ends for part in parts]))

    def _item(self) -> _Part:
        character, following = self._text[self._at], self._text[self._at + 1 : self._at + 2]
        if following == "(" and character in "@?*+!":
            self._at += 2
            return self._group(character)
        if following == "(" and character == "^":
            raise BadGlob(self._text, "unexpected ^(")
        self._at += 1
        match character:
            case "*":
                if following == "*":
                    self._at += 1
                    self.crosses = True
                    self.ways += 1
                    return _Part(".*", glob_ends.any_run)
                self._several_ways()
                return _Part("[^/]*", glob_ends.run)
            case "?":
                return _Part("[^/]", glob_ends.one_of(bool))
            case "[":
                return self._class()
            case "{":
                choice = self._alternatives(",", "}")
                return _Part(f"(?:{choice.text})", choice.ends)
            case "(":
                return self._group("@")
            case "\\" if following:
                self._at += 1
                return _literal(following)
        if character == "/" and self._depth:
            self.crosses = True
            self.ways += 1
        elif character == "/":
            self._ways_here = 0
        return _literal(character)

    def _several_ways(self) -> None:
        self._ways_here += 1
        self.ways_in_names = max(self.ways_in_names, self._ways_here)

    def _alternatives(self, separator: str, end: str) -> _Part:
        """The alternatives up to `end`; one that is missing at the end of the pattern is forgiven."""
        found = []
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise BadGlob(self._text, f"groups are nested more than {MOST_NESTED} deep")
        while True:
            found.append(self.sequence(separator + end))
            at_end = self._at >= len(self._text)
            closing = at_end or self._text[self._at] == end
            self._at += 1
            if closing:
                break
        self._depth -= 1
        if len(found) > 1:
            self._several_ways()
        return _Part("|".join(part.text for part in found), glob_ends.either([part.ends for part in found]))

    def _group(self, quantifier: str) -> _Part:
        choice, ends = self._alternatives("|", ")")
        match quantifier:
            case "@":
                return _Part(f"({choice})", ends)
            case "?":
                self._several_ways()
                return _Part(f"((?:{choice})?)", glob_ends.optional(ends))
            case "*" | "+":
                self.ways += _ENDLESS
                repeated = glob_ends.repeated(ends, at_least_once=quantifier == "+")
                return _Part(f"((?:{choice}){quantifier})", repeated)
        following = self._text[self._at : self._at + 1]
        anchored = following == "" or following in SPECIAL - {"*"}
        but = glob_ends.anything_but(ends, to_the_end=anchored)
        return _Part(f"((?!(?:{choice}){'$' if anchored else ''})[^/]*)", but)

    def _class(self) -> _Part:
        negated = self._text[self._at : self._at + 1] in ("!", "^") and bool(self._text[self._at : self._at + 1])
        self._at += negated
        out: list[str] = []
        while True:
            if self._at >= len(self._text):
                raise BadGlob(self._text, "unexpected end of input")
            character = self._text[self._at]
            if character == "]" and out:
                self._at += 1
                break
            out.append(self._class_item(character))
        members = f"[{'^' if negated else ''}{''.join(out)}]"
        return _Part(f"(?!/){members}", glob_ends.one_of(re.compile(members.encode(), re.DOTALL).fullmatch))

    def _class_item(self, character: str) -> str:
        named = re.match(r"\[:(\w+):\]", self._text[self._at :])
        if named is not None:
            if named[1] not in _POSIX:
                raise BadGlob(self._text, f"there is no character class [:{named[1]}:]")
            self._at += named.end()
            return _POSIX[named[1]]
        self._at += 1
        if character == "\\" and self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            return re.escape(character)
        return character if character == "-" else re.escape(character)


def _literal(character: str) -> _Part:
    return _Part(re.escape(character), glob_ends.literal(character.encode()))
