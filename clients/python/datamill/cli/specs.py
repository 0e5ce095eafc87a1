"""Reading pipeline specs from files: JSON or YAML, one or many in a file, into plain values.

YAML as its version 1.2 has it, with the rules that pachctl's users know: no aliases, no timestamps, whole numbers in
plain decimal only, every key a text. `null` is kept, for it takes a default away. Whether the fields are right is for
the server to say (or `check`, for `validate pipeline`).
"""

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.json_format import ParseDict, ParseError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from datamill.errors import Invalid
from datamill.wire import pps_v2_pb2 as pps

INTEGER = re.compile(r"0|-?[1-9][0-9]*")
LIKE_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*)")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
TRUE, FALSE, NULL = ("true", "True", "TRUE"), ("false", "False", "FALSE"), ("null", "Null", "NULL", "~", "")
TEXT_TAGS = ("tag:yaml.org,2002:str", "!")
FETCH_SECONDS = 30.0
SWITCHES = (("update", "update"), ("reprocess", "reprocess"), ("dryRun", "dry_run"))


@dataclass(frozen=True)
class Read:
    """One spec, and what it says itself about how to create it (None: says nothing)."""

    spec: dict[str, Any]
    update: bool | None
    reprocess: bool | None
    dry_run: bool | None

    @property
    def name(self) -> str:
        return str(self.spec["pipeline"]["name"])


def load(source: str) -> str:
    """The text of a file, of an http(s) address, or of standard input for "-". Raises Invalid, OSError."""
    if source == "-":
        return sys.stdin.read()
    if source.startswith(("http://", "https://")):
        try:
            with urllib.request.urlopen(source, timeout=FETCH_SECONDS) as reply:
                return str(reply.read().decode())
        except urllib.error.URLError as error:
            raise Invalid(f"cannot read {source}: {error}") from error
    return Path(source).read_text(encoding="utf-8")


def read(text: str, *, project: str) -> Iterator[Read]:
    """The specs in a text, in order. project: for specs that say none. Raises Invalid."""
    for document in _documents(text):
        if isinstance(document, list):
            for item in document:
                if not isinstance(item, dict):
                    raise Invalid("malformed pipeline spec: expected a mapping")
                yield _checked(item, project)
        elif isinstance(document, dict):
            yield _checked(document, project)
        else:
            raise Invalid("malformed pipeline spec: expected a mapping or a sequence")


def check(spec: dict[str, Any]) -> pps.CreatePipelineRequest:
    """The spec as a message. Raises Invalid with the field that is wrong."""
    try:
        return ParseDict(_without_null(spec), pps.CreatePipelineRequest())
    except ParseError as error:
        raise Invalid(f"could not unmarshal {json.dumps(spec)} as CreatePipelineRequest: {error}") from error


def warnings(spec: dict[str, Any]) -> Iterator[str]:
    """What is allowed and most likely not meant."""
    transform = spec.get("transform")
    if transform is None or (isinstance(transform, dict) and not transform.get("cmd")):
        yield "there is no transform.cmd: unless defaults give one, the pipeline has nothing to run and fails"
    image = transform.get("image") if isinstance(transform, dict) else None
    if not isinstance(image, str) or not image:
        return
    if ":" not in image.rpartition("/")[2]:
        yield f"please specify a tag for the image {image}: without one, it may change between jobs"
    elif image.endswith(":latest"):
        yield f"please do not specify the ':latest' tag for {image}: it may change between jobs"


def _checked(spec: dict[str, Any], project: str) -> Read:
    _drop_schema(spec)
    pipeline = spec.get("pipeline")
    if not isinstance(pipeline, dict):
        raise Invalid("no `pipeline` specified")
    if not pipeline.get("name"):
        raise Invalid("no pipeline `name` specified")
    if not pipeline.get("project"):
        pipeline["project"] = {"name": project}
    said: dict[str, bool | None] = {}
    for key, other in SWITCHES:
        value = spec.pop(key, None) if key in spec else spec.pop(other, None)
        if value is not None and not isinstance(value, bool):
            raise Invalid(f"{key} must be a boolean")
        said[other] = value
    return Read(spec, said["update"], said["reprocess"], said["dry_run"])


def _drop_schema(value: Any) -> None:
    if isinstance(value, dict):
        value.pop("$schema", None)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _drop_schema(inner)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return [_without_null(inner) for inner in value] if isinstance(value, list) else value


def _documents(text: str) -> Iterator[Any]:
    try:
        yield json.loads(text)  # tabs are fine in JSON, and not in YAML
        return
    except ValueError as error:
        as_json = str(error)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise Invalid(f"malformed pipeline spec: aliases (*{event.anchor}) are not supported")
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise Invalid(f"malformed pipeline spec: {_mistake(text, as_json, error)}") from error
    found = [_value(node) for node in nodes if node is not None]
    yield from (value for value in found if value is not None or len(found) == 1)


def _mistake(text: str, as_json: str, as_yaml: yaml.YAMLError) -> str:
    """What is wrong with a text that is neither JSON nor YAML, in the words of what it was meant to be."""
    if text.lstrip().startswith(("{", "[")):
        return as_json
    if isinstance(as_yaml, yaml.MarkedYAMLError) and as_yaml.problem_mark is not None:
        mark = as_yaml.problem_mark
        return f"{as_yaml.problem}: line {mark.line + 1} column {mark.column + 1}"
    return " ".join(str(as_yaml).split())


def _value(node: Node) -> Any:
    if isinstance(node, MappingNode):
        result: dict[str, Any] = {}
        for key, inner in node.value:
            if not isinstance(key, ScalarNode) or not isinstance(name := _scalar(key), str):
                raise Invalid(f"malformed pipeline spec: keys must be text, {_where(key)}")
            result[name] = _value(inner)
        return result
    if isinstance(node, SequenceNode):
        return [_value(inner) for inner in node.value]
    assert isinstance(node, ScalarNode)
    return _scalar(node)


def _scalar(node: ScalarNode) -> Any:
    text: str = node.value
    if node.style is not None:  # quoted, or a block
        return text
    if _tagged(node):
        return _by_tag(node, text)
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    if LIKE_INTEGER.fullmatch(text):
        return _integer(text)
    if FLOAT.fullmatch(text):
        return float(text)
    if TIMESTAMP.fullmatch(text):
        raise Invalid(f"malformed pipeline spec: {text} looks like a date; put it in quotes, {_where(node)}")
    return text


def _tagged(node: ScalarNode) -> bool:
    """Whether the text itself carries a tag (!!str), which differs from what plain text would have got."""
    mark = node.start_mark
    return mark.buffer is not None and mark.buffer[mark.pointer : mark.pointer + 1] == "!"


def _by_tag(node: ScalarNode, text: str) -> Any:
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if node.tag in TEXT_TAGS:
        return text
    if kind == "int":
        return _integer(text)
    if kind == "float" and FLOAT.fullmatch(text):
        return float(text)
    if kind == "bool" and text in (*TRUE, *FALSE):
        return text in TRUE
    if kind == "null":
        return None
    raise Invalid(f"malformed pipeline spec: tag {node.tag} is not supported, {_where(node)}")


def _integer(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise Invalid(f'malformed pipeline spec: integer value "{text}" does not match regexp {INTEGER.pattern}')
    return int(text)


def _where(node: Node) -> str:
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"
