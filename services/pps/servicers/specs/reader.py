"""A spec document as canonical JSON: every key a known field in camelCase, every value of the field's type.

All mistakes of a document are found at once, each with its path and, for an unknown field, the nearest valid name.
The fields are those of the protocol's message, so this follows the protocol by itself.
"""

import difflib
import json
import re
from collections import Counter
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError, SerializeToJsonError
from google.protobuf.message import Message

from datamill.wire import pps_v2_pb2 as pps
from services.kit.errors import Invalid
from services.pps.domain.errors import DefaultsUnreadable, SpecUnreadable

INTEGERS = {
    FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SINT64,
}  # fmt: skip
FLOATS = {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}
LONE = re.compile("[\ud800-\udfff]")  # what JSON can say of a character, and UTF-8 cannot
DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)s")
WELL_KNOWN = {"google.protobuf.Duration", "google.protobuf.Timestamp"}
WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value" for kind in ("Int32", "Int64", "UInt32", "UInt64", "Bool", "String")
)
DEEPEST = 60  # messages in one another; readers of the protocol end at 100, and answers wrap a spec further
TOO_DEEP = "it is nested too deeply"


def document_of(given: Message, what: str) -> dict[str, Any]:
    """A message as a document. Invalid: a time or duration in it is out of range. what: names it in the error."""
    try:
        return MessageToDict(given)
    except (SerializeToJsonError, ValueError, OverflowError) as error:
        raise Invalid(f"invalid {what}: {error}") from error


def read_spec(text: str) -> dict[str, Any]:
    """The document, canonical; `null` is kept, for merging. Raises SpecUnreadable with every mistake."""
    document, mistakes = _read(text, pps.CreatePipelineRequest.DESCRIPTOR)
    if mistakes:
        said = "could not parse the document as Create Pipeline Request message"
        raise SpecUnreadable([f"{said}: {one}" for one in mistakes])
    return document


def read_defaults(text: str, what: str = "defaults") -> dict[str, Any]:
    """What a document of defaults gives to specs, canonical, `null` kept. Raises DefaultsUnreadable."""
    document, mistakes = _read(text, pps.ClusterDefaults.DESCRIPTOR)
    if mistakes:
        raise DefaultsUnreadable(what, mistakes)
    return document.get("createPipelineRequest") or {}


def _read(text: str, kind: Descriptor) -> tuple[dict[str, Any], list[str]]:
    """The document, canonical, and what is wrong with it."""
    mistakes: list[str] = []

    def named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
            mistakes.extend(f'"{name}" is given twice in one object' for name in twice)
        return found

    try:
        document = json.loads(text, object_pairs_hook=named_once, parse_constant=_no_number)
    except ValueError as error:
        return {}, [f"it is no JSON: {error}"]
    except RecursionError:
        return {}, [TOO_DEEP]
    if not isinstance(document, dict):
        return {}, [f"it is no object, but {_shown(document)}"]
    return _message(document, kind, "", mistakes), mistakes


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def to_request(spec: dict[str, Any]) -> pps.CreatePipelineRequest:
    """Canonical JSON as a message. Raises SpecUnreadable."""
    try:
        return ParseDict(spec, pps.CreatePipelineRequest())
    except ParseError as error:
        raise SpecUnreadable([str(error)]) from error


def _message(value: dict[str, Any], kind: Descriptor, path: str, mistakes: list[str]) -> dict[str, Any]:
    if path.count(".") > DEEPEST:
        mistakes.append(TOO_DEEP)
        return {}
    by_name = {name: field for field in kind.fields for name in (field.json_name, field.name)}
    result: dict[str, Any] = {}
    for key, inner in value.items():
        field = by_name.get(key)
        if field is None:
            mistakes.append(_unknown(key, path, by_name))
            continue
        result[field.json_name] = None if inner is None else _field(inner, field, f"{path}{field.json_name}", mistakes)
    return result


def _unknown(key: str, path: str, known: dict[str, FieldDescriptor]) -> str:
    camel = sorted({field.json_name for field in known.values()})
    near = difflib.get_close_matches(key, camel, n=1, cutoff=0.5)
    hint = f'; did you mean "{near[0]}"?' if near else f"; there are {', '.join(camel)}"
    return f'unexpected field "{key}" in {path.rstrip(".") or "the spec"}{hint}'


def _field(value: Any, field: FieldDescriptor, path: str, mistakes: list[str]) -> Any:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return _map(value, entry.fields_by_name["value"], path, mistakes)
    if not field.is_repeated:
        return _one(value, field, path, mistakes)
    if not isinstance(value, list):
        mistakes.append(f"{path}: expected a list, got {_shown(value)}")
        return None
    return [_one(inner, field, f"{path}[{at}]", mistakes) for at, inner in enumerate(value)]


def _map(value: Any, field: FieldDescriptor, path: str, mistakes: list[str]) -> Any:
    if not isinstance(value, dict):
        mistakes.append(f"{path}: expected an object of names and values, got {_shown(value)}")
        return None
    return {
        key: None if inner is None else _one(inner, field, f"{path}.{key}", mistakes) for key, inner in value.items()
    }


def _one(value: Any, field: FieldDescriptor, path: str, mistakes: list[str]) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name in WELL_KNOWN:
            return _time(value, field.message_type, path, mistakes)
        if field.message_type.full_name in WRAPPERS:  # as JSON, a wrapped value is the value itself
            return _scalar(value, field.message_type.fields_by_name["value"], path, mistakes)
        if not isinstance(value, dict):
            mistakes.append(f"{path}: expected an object, got {_shown(value)}")
            return None
        return _message(value, field.message_type, f"{path}.", mistakes)
    if field.enum_type is not None:
        return _enum(value, field.enum_type, path, mistakes)
    return _scalar(value, field, path, mistakes)


def _time(value: Any, kind: Descriptor, path: str, mistakes: list[str]) -> Any:
    if kind.name == "Duration" and not (isinstance(value, str) and DURATION.fullmatch(value)):
        mistakes.append(f'{path}: expected a duration such as "30s", got {_shown(value)}')
    elif not isinstance(value, str):
        mistakes.append(f"{path}: expected a time such as 2026-01-31T12:00:00Z, got {_shown(value)}")
    return f"0{value}" if isinstance(value, str) and value.startswith(".") else value


def _enum(value: Any, kind: EnumDescriptor, path: str, mistakes: list[str]) -> Any:
    if isinstance(value, str) and value in kind.values_by_name:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value in kind.values_by_number:
        return kind.values_by_number[value].name
    near = difflib.get_close_matches(str(value), list(kind.values_by_name), n=1, cutoff=0.3)
    names = f'did you mean "{near[0]}"?' if near else f"one of {', '.join(kind.values_by_name)}"
    mistakes.append(f"{path}: {_shown(value)} is no {kind.name}; {names}")
    return None


def _scalar(value: Any, field: FieldDescriptor, path: str, mistakes: list[str]) -> Any:
    if field.type in INTEGERS:
        whole = isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"0|-?[1-9][0-9]*", value))
        if isinstance(value, bool) or not whole:
            mistakes.append(f"{path}: expected a whole number, got {_shown(value)}")
            return None
        return str(value) if field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64) else int(value)
    if field.type in FLOATS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            mistakes.append(f"{path}: expected a number, got {_shown(value)}")
        return value
    wanted, name = (bool, "true or false") if field.type == FieldDescriptor.TYPE_BOOL else (str, "a string")
    if not isinstance(value, wanted):
        mistakes.append(f"{path}: expected {name}, got {_shown(value)}")
    elif isinstance(value, str) and LONE.search(value):
        mistakes.append(f"{path}: half of a character cannot be kept: {_shown(value)}")
    elif isinstance(value, str) and "\0" in value:
        mistakes.append(f"{path}: no command line, variable or path can hold a zero byte: {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
