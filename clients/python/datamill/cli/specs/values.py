"""The documents of a YAML or JSON text, as values that know their lines.

YAML as its version 1.2 has it, with the rules that pachctl's users know: no aliases, no timestamps, whole numbers in
plain decimal only, every key a text, commas at the end of a list or an object. Every JSON text is taken, too, tabs and
all, and several in a row. `null` is kept, for it takes a default away. What the values mean is decided elsewhere
(fields.py, reading.py).
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from datamill.cli.specs.mistakes import Mistake, Mistaken

MALFORMED = "malformed pipeline spec"
INTEGER = re.compile(r"^(0|(-?[1-9][0-9]*))$")
LIKE_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*)")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
TRUE, FALSE, NULL = ("true", "True", "TRUE"), ("false", "False", "FALSE"), ("null", "Null", "NULL", "~", "")
TEXT_TAGS = ("tag:yaml.org,2002:str", "!")
MARKER = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)  # at the beginning of a line, it is nothing else
DIRECTIVE = re.compile(r"^%", re.MULTILINE)
LIKE_JSON = re.compile(r"(\s*#[^\n]*\n)*\s*[{\[]")
TEXT_OR_TAB = re.compile(r'"(?:\\.|[^"\\])*"|\t')
TEXT_OR_LAST_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])')
TOO_DEEP = "it is nested too deeply"


@dataclass(frozen=True)
class Placed:
    """A value, and the line of the key it has or else of its beginning. Objects and lists hold values of this kind."""

    value: "dict[str, Placed] | list[Placed] | str | int | float | bool | None"
    line: int

    def plain(self) -> Any:
        """The value alone."""
        if isinstance(self.value, dict):
            return {key: inner.plain() for key, inner in self.value.items()}
        return [inner.plain() for inner in self.value] if isinstance(self.value, list) else self.value


def documents(text: str, source: str, mistakes: list[Mistake]) -> list[Placed]:
    """The documents of a text; empty ones behind another are left out. Raises Mistaken when there is none but what is
    no YAML at all.

    Values that are not allowed are noted in `mistakes` and stand as None; documents that cannot be read are noted.
    """
    found: list[Placed] = []
    for piece in _pieces(text):
        try:
            found += _documents(piece, source, mistakes)
        except Mistaken as error:
            mistakes += error.mistakes
    if not found and mistakes:
        raise Mistaken(source, mistakes)
    return [one for one in found if one.value is not None or len(found) == 1]


def _pieces(text: str) -> Iterator[str]:
    """The documents of a text, each in the lines where it is: tabs are no trouble where one is JSON."""
    if DIRECTIVE.search(text):
        yield text
        return
    starts = [0, *(found.start() for found in MARKER.finditer(text)), len(text)]
    lines = 0
    for start, end in pairwise(starts):
        piece = MARKER.sub("   ", text[start:end])
        for part in _in_a_row(piece):
            yield "\n" * lines + part
            lines += part.count("\n")


def _in_a_row(text: str) -> list[str]:
    """The text, cut where JSON follows on JSON with nothing between."""
    at, pieces, decoder = 0, [], json.JSONDecoder()
    try:
        while text[at:].strip():
            start = len(text) - len(text[at:].lstrip())
            _, end = decoder.raw_decode(text, start)
            pieces.append(text[at:end])
            at = end
    except (ValueError, RecursionError):
        return [text]
    return [*pieces, text[at:]]


def _documents(text: str, source: str, mistakes: list[Mistake]) -> list[Placed]:
    if LIKE_JSON.match(text):  # tabs are fine in JSON, and not in YAML
        text = TEXT_OR_TAB.sub(lambda found: " " if found[0] == "\t" else found[0], text)
    try:
        aliases: list[Mistake] = []
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) and event.start_mark is not None:
                words = f"{MALFORMED}: aliases (*{event.anchor}) are not supported"
                aliases.append(Mistake(event.start_mark.line + 1, words))
        if aliases:
            raise Mistaken(source, aliases)
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        return [_value(node, mistakes) for node in nodes if node is not None]
    except yaml.YAMLError as error:
        raise Mistaken(source, [_unreadable(text, error)]) from error
    except RecursionError as error:
        raise Mistaken(source, [Mistake(1, f"{MALFORMED}: {TOO_DEEP}")]) from error


def _unreadable(text: str, error: yaml.YAMLError) -> Mistake:
    """What is wrong with a text that is neither JSON nor YAML, in the words of what it was meant to be."""
    if LIKE_JSON.match(text):
        try:
            json.loads(TEXT_OR_LAST_COMMA.sub(lambda found: " " if found[0] == "," else found[0], text))
        except json.JSONDecodeError as of_json:
            if text[of_json.pos : of_json.pos + 1] not in ("#", "-"):  # else it has comments, or several documents
                return Mistake(of_json.lineno, f"{MALFORMED}: {of_json.msg}, column {of_json.colno}")
        except RecursionError:
            return Mistake(1, f"{MALFORMED}: {TOO_DEEP}")
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        hint = "; is the indentation right?" if "<block end>" in (error.problem or "") else ""
        return Mistake(mark.line + 1, f"{MALFORMED}: {error.problem}, column {mark.column + 1}{hint}")
    at = getattr(error, "position", 0)
    return Mistake(text.count("\n", 0, at) + 1, f"{MALFORMED}: {' '.join(str(error).split())}")


def _value(node: Node, mistakes: list[Mistake], line: int | None = None) -> Placed:
    """line: that of the key, if there is one."""
    line = node.start_mark.line + 1 if line is None else line
    if isinstance(node, MappingNode):
        return Placed(_mapping(node, mistakes), line)
    if isinstance(node, SequenceNode):
        return Placed([_value(inner, mistakes) for inner in node.value], line)
    assert isinstance(node, ScalarNode)
    return Placed(_scalar(node, mistakes), line)


def _mapping(node: MappingNode, mistakes: list[Mistake]) -> dict[str, Placed]:
    result: dict[str, Placed] = {}
    for key, inner in node.value:
        line = key.start_mark.line + 1
        name = _scalar(key, mistakes) if isinstance(key, ScalarNode) else None
        value = _value(inner, mistakes, line)
        if not isinstance(name, str):
            mistakes.append(Mistake(line, f"{MALFORMED}: keys must be text"))
        elif name in result:
            mistakes.append(Mistake(line, f'{MALFORMED}: "{name}" is given twice, first in line {result[name].line}'))
        else:
            result[name] = value
    return result


def _scalar(node: ScalarNode, mistakes: list[Mistake]) -> str | int | float | bool | None:
    text: str = node.value
    if node.style is not None:  # quoted, or a block
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # JSON writes pairs of escapes
    try:
        if _tagged(node):
            return _by_tag(node, text)
        return untagged(text)
    except ValueError as error:
        mistakes.append(Mistake(node.start_mark.line + 1, f"{MALFORMED}: {error}"))
        return None


def untagged(text: str) -> str | int | float | bool | None:
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    if LIKE_INTEGER.fullmatch(text):
        return _integer(text)
    if FLOAT.fullmatch(text):
        return _float(text)
    if TIMESTAMP.fullmatch(text):
        raise ValueError(f"{text} looks like a date; put it in quotes")
    return text


def _tagged(node: ScalarNode) -> bool:
    """Whether the text itself carries a tag (!!str), which differs from what plain text would have got."""
    mark = node.start_mark
    return mark.buffer is not None and mark.buffer[mark.pointer : mark.pointer + 1] == "!"


def _by_tag(node: ScalarNode, text: str) -> str | int | float | bool | None:
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if node.tag in TEXT_TAGS:
        return text
    if kind == "int":
        return _integer(text)
    if kind == "float" and FLOAT.fullmatch(text):
        return _float(text)
    if kind == "bool" and text in (*TRUE, *FALSE):
        return text in TRUE
    if kind == "null":
        return None
    raise ValueError(f"tag {node.tag} is not supported")


def _integer(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise ValueError(f'integer value "{text}" does not match regexp {INTEGER.pattern}')
    return int(text)


def _float(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is too large a number")
    return number
