"""The small part of LogQL that is understood: a selector of labels, then filters of lines.

`{pipelineName="edges", pod=~"edges.*"} |= "errored" != "again"`: matchers are =, !=, =~, !~; filters |=, !=, |~, !~.
Elsewhere: applying one to a record (operations/history/choosing.py).
"""

import json
import re
from dataclasses import dataclass
from typing import NoReturn

from services.jobs.domain.errors import BadRequest

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MATCHER = re.compile(r"=~|!~|!=|=")
_FILTER = re.compile(r"\|=|\|~|!=|!~")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_BLANK = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Clause:
    """label: "" for the line itself. pattern: whether `text` is a regular expression."""

    label: str
    negated: bool
    pattern: bool
    text: str


def parse(query: str) -> list[Clause]:
    """What must hold of a line, all of it. Raises BadRequest that says where the query ends to make sense."""
    return _Parser(query).tests()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def tests(self) -> list[Clause]:
        found = list[Clause]()
        self._need(re.compile(r"\{"), "a selector in braces")
        while self._take(re.compile(r"\}")) is None:
            if found:
                self._need(re.compile(","), "a comma or a closing brace")
            label = self._need(_WORD, "the name of a label")
            found.append(self._test(label, self._need(_MATCHER, "one of =, !=, =~ and !~")))
        while self._at < len(self._text.rstrip()):
            found.append(self._test("", self._need(_FILTER, "one of |=, !=, |~ and !~")))
        return found

    def _test(self, label: str, operator: str) -> Clause:
        quoted = self._need(_QUOTED, "a text in quotes")
        try:
            text = quoted[1:-1] if quoted[0] == "`" else json.loads(quoted)
        except ValueError:
            self._fail("a text in quotes")
        return Clause(label, operator[0] == "!", operator[-1] == "~", text)

    def _take(self, what: re.Pattern[str]) -> str | None:
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None
        found = what.match(self._text, blank.end())
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _need(self, what: re.Pattern[str], name: str) -> str:
        found = self._take(what)
        return self._fail(name) if found is None else found

    def _fail(self, name: str) -> NoReturn:
        raise BadRequest(f"cannot read the query: at character {self._at + 1} there should be {name}")
