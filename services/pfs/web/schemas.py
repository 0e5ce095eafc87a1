"""/jsonschema/<package>/<Message>.schema.json: what the JSON of a message looks like, for editors that check it.

Made from the descriptors of the protocol. Both spellings of a name are in it, since both are read.
Source: the JSON mapping of proto3; JSON Schema draft 7.
"""

import json
import re
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from services.kit.errors import NotFound

PACKAGES = ("pfs_v2", "pps_v2", "transaction_v2", "metadata", "admin_v2", "versionpb_v2", "storage", "logs")
_NAME = re.compile(r"([a-z0-9_]+)/(\w+)\.schema\.json")
_LONG = {"type": ["integer", "string"]}  # a number that programs may not hold exactly is written as text
_WHOLE, _REAL = {"type": "integer"}, {"type": ["number", "string"]}
_TEXT, _BYTES = {"type": "string"}, {"type": "string", "contentEncoding": "base64"}
_PLAIN: dict[int, dict[str, Any]] = {
    **dict.fromkeys((FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32), _WHOLE),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), _WHOLE),
    **dict.fromkeys((FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64), _LONG),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), _LONG),
    **dict.fromkeys((FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE), _REAL),
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: _TEXT,
    FieldDescriptor.TYPE_BYTES: _BYTES,
}
_KNOWN: dict[str, dict[str, Any]] = {
    "Timestamp": {"type": "string", "format": "date-time"},
    "Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
    "FieldMask": _TEXT,
    "Any": {"type": "object"},
    "Empty": {"type": "object"},
    "Struct": {"type": "object"},
    "ListValue": {"type": "array"},
    "Value": {},
}


@lru_cache(maxsize=64)
def schema(address: str) -> bytes:
    """address: what follows "/jsonschema/". Raises NotFound."""
    found = _NAME.fullmatch(address)
    try:
        if found is None or found[1] not in PACKAGES:
            raise KeyError(address)
        message = descriptor_pool.Default().FindMessageTypeByName(f"{found[1]}.{found[2]}")
    except KeyError:
        raise NotFound("there is no such schema; one is /jsonschema/pps_v2/CreatePipelineRequest.schema.json") from None
    definitions = dict[str, Any]()
    _define(message, definitions)
    whole = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": message.name,
        "$ref": f"#/definitions/{message.full_name}",
        "definitions": definitions,
    }
    return json.dumps(whole, indent=2).encode()


def _define(message: Descriptor, definitions: dict[str, Any]) -> None:
    if message.full_name in definitions:
        return
    properties = dict[str, Any]()
    definitions[message.full_name] = {"type": "object", "properties": properties, "additionalProperties": False}
    for field in message.fields:
        properties[field.name] = properties[field.json_name] = _field(field, definitions)


def _field(field: FieldDescriptor, definitions: dict[str, Any]) -> dict[str, Any]:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _one(kind.fields_by_name["value"], definitions)}
    one = _one(field, definitions)
    return {"type": "array", "items": one} if field.is_repeated else one


def _one(field: FieldDescriptor, definitions: dict[str, Any]) -> dict[str, Any]:
    if field.enum_type is not None:
        return _names(field.enum_type)
    if field.message_type is None:
        return _PLAIN[field.type]
    message = field.message_type
    if message.file.package == "google.protobuf":
        if message.name in _KNOWN:
            return _KNOWN[message.name]
        return _one(message.fields_by_name["value"], definitions)  # a value that may be absent
    _define(message, definitions)
    return {"$ref": f"#/definitions/{message.full_name}"}


def _names(enum: EnumDescriptor) -> dict[str, Any]:
    return {"anyOf": [{"enum": [value.name for value in enum.values]}, _WHOLE]}
