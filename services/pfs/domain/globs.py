"""Patterns over paths: what a glob matches, what its groups capture, and how far a scan for it must look.

A pattern is brought into the form of a path first ("/" in front, none behind) and must match a whole path, written
without its trailing "/"; the root is the empty path. "/" separates: only "**" and text in the pattern cross it.
  *  **  ?  [abc] [!a-z] [[:alpha:]]  {a,b}  \\c   and the capturing (a|b) @(a|b) ?(a|b) *(a|b) +(a|b) !(a|b)
Elsewhere: walking a tree with a pattern (operations/files/read.py).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from services.kit.errors import Problem
from services.pfs.domain.paths import canonical

SPECIAL = frozenset("*?[]{}!()@+^")
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

    def matches(self, path: bytes) -> bool:
        return self.expression.fullmatch(path) is not None

    def captures(self, path: bytes) -> list[str] | None:
        """What the groups matched, from the first; "" for one that took no part. None: no match."""
        found = self.expression.fullmatch(path)
        return None if found is None else [(group or b"").decode() for group in found.groups()]


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> Glob:
    """Raises BadGlob."""
    if not all(" " <= character <= "~" for character in pattern):
        raise BadGlob(pattern, "only printable ASCII characters allowed")
    clean = canonical(pattern)
    if clean == "/":
        return Glob(re.compile(rb""), b"", 0)
    parser = _Parser(clean)
    try:
        text = parser.sequence("")
        expression = re.compile(text.encode(), re.DOTALL)
    except re.error as error:
        raise BadGlob(pattern, str(error)) from error
    return Glob(expression, _prefix(clean).encode(), None if parser.crosses else clean.count("/"))


def _prefix(pattern: str) -> str:
    """The text before the first special character, with escapes taken away."""
    found, at = [], 0
    while at < len(pattern) and pattern[at] not in SPECIAL:
        if pattern[at] == "\\" and at + 1 < len(pattern):
            at += 1
        found.append(pattern[at])
        at += 1
    return "".join(found)


class _Parser:
    """Recursive descent over one pattern; gives the text of a regular expression."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0
        self.crosses = False
        """Whether matches may have different numbers of names."""

    def sequence(self, stop: str) -> str:
        """Up to one of the characters in `stop`, which is left, or to the end."""
        out: list[str] = []
        while self._at < len(self._text) and self._text[self._at] not in stop:
            out.append(self._item())
        return "".join(out)

    def _item(self) -> str:
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
                    return ".*"
                return "[^/]*"
            case "?":
                return "[^/]"
            case "[":
                return self._class()
            case "{":
                return f"(?:{'|'.join(self._alternatives(',', '}'))})"
            case "(":
                return self._group("@")
            case "\\" if following:
                self._at += 1
                return re.escape(following)
        if character == "/" and self._depth:
            self.crosses = True
        return re.escape(character)

    def _alternatives(self, separator: str, end: str) -> list[str]:
        """The alternatives up to `end`; one that is missing at the end of the pattern is forgiven."""
        found = []
        self._depth += 1
        while True:
            found.append(self.sequence(separator + end))
            at_end = self._at >= len(self._text)
            closing = at_end or self._text[self._at] == end
            self._at += 1
            if closing:
                break
        self._depth -= 1
        return found

    def _group(self, quantifier: str) -> str:
        choice = "|".join(self._alternatives("|", ")"))
        if quantifier == "@":
            return f"({choice})"
        if quantifier != "!":
            return f"((?:{choice}){quantifier})"
        following = self._text[self._at : self._at + 1]
        anchored = following == "" or following in SPECIAL - {"*"}
        return f"((?!(?:{choice}){'$' if anchored else ''})[^/]*)"

    def _class(self) -> str:
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
        return f"(?!/)[{'^' if negated else ''}{''.join(out)}]"

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
