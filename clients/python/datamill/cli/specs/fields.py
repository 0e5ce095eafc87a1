"""Whether a document has the fields of a message, and values of their types: every mistake, and the nearest valid name.

The fields are those of the protocol's own messages, in camelCase or snake_case, so this follows the protocol by itself.
A server looks once more, and at what the values mean.
"""

import base64
import binascii
import difflib
import re
from collections import deque
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from datamill.cli.specs.mistakes import Mistake
from datamill.cli.specs.values import Placed

BITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?|NaN|-?Infinity")
DURATION = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)s")
SPOKEN = re.compile(r"(?:(?P<h>[0-9.]+)h)?(?:(?P<m>[0-9.]+)m)?(?:(?P<s>[0-9.]+)s)?")
WRAPPER = re.compile(r"google\.protobuf\.(Int32|Int64|UInt32|UInt64|Bool|String|Double|Float|Bytes)Value")
DEEPEST = 60


def look(document: Placed, kind: Descriptor, mistakes: list[Mistake]) -> None:
    """Note what is wrong with a document that is to be a message of this kind. `null` is right everywhere."""
    _Look(kind, mistakes).message(document, kind, "")


class _Look:
    """One document's. root: the message as a whole, for fields that stand in the wrong place."""

    def __init__(self, root: Descriptor, mistakes: list[Mistake]) -> None:
        self.root = root
        self.mistakes = mistakes

    def _wrong(self, at: Placed, path: str, words: str) -> None:
        self.mistakes.append(Mistake(at.line, f"{path}: {words}" if path else words))

    def message(self, at: Placed, kind: Descriptor, path: str) -> None:
        if not isinstance(at.value, dict):
            self._wrong(at, path, f"expected an object, got {_shown(at)}")
            return
        if path.count(".") > DEEPEST:
            self._wrong(at, "", "it is nested too deeply")
            return
        known = {name: field for field in kind.fields for name in (field.json_name, field.name)}
        given: dict[str, FieldDescriptor] = {}
        for key, inner in at.value.items():
            field = known.get(key)
            if field is None:
                self._wrong(inner, "", self._unknown(key, kind, path))
                continue
            if field.json_name in given:
                self._wrong(
                    inner, f"{path}{key}", f'is given twice: "{field.name}" and "{field.json_name}" are the same'
                )
            elif inner.value is not None:
                self._alone(inner, field, given, path)
                self._field(inner, field, f"{path}{key}")
            given[field.json_name] = field

    def _alone(self, at: Placed, field: FieldDescriptor, given: dict[str, FieldDescriptor], path: str) -> None:
        """At most one of a oneof's fields may be given."""
        for other in given.values():
            if field.containing_oneof is not None and field.containing_oneof == other.containing_oneof:
                self._wrong(at, f"{path}{field.json_name}", f'cannot be set together with "{other.json_name}"')

    def _unknown(self, key: str, kind: Descriptor, path: str) -> str:
        words = f'unexpected field "{key}" in {path.rstrip(".") or "the spec"}'
        if home := _home(key, kind):
            return f'{words}; did you mean "{path}{home}"?'
        if home := _home(key, self.root):
            return f'{words}; did you mean "{home}"?'
        names = sorted({field.json_name for field in kind.fields})
        folded = {name.lower(): name for name in names}
        near = difflib.get_close_matches(key.replace("_", "").lower(), list(folded), n=1, cutoff=0.5)
        return f'{words}; did you mean "{folded[near[0]]}"?' if near else f"{words}; there are {', '.join(names)}"

    def _field(self, at: Placed, field: FieldDescriptor, path: str) -> None:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if not isinstance(at.value, dict):
                self._wrong(at, path, f"expected an object of names and values, got {_shown(at)}")
                return
            for name, inner in at.value.items():
                if inner.value is not None:
                    self._one(inner, field.message_type.fields_by_name["value"], f"{path}.{name}")
        elif not field.is_repeated:
            self._one(at, field, path)
        elif not isinstance(at.value, list):
            self._wrong(at, path, f"expected a list, got {_shown(at)}")
        else:
            for number, inner in enumerate(at.value):
                self._one(inner, field, f"{path}[{number}]")

    def _one(self, at: Placed, field: FieldDescriptor, path: str) -> None:
        kind = field.message_type
        if kind is None:
            self._scalar(at, field, path)
        elif kind.full_name == "google.protobuf.Duration":
            if not (isinstance(at.value, str) and DURATION.fullmatch(at.value)):
                self._wrong(at, path, f'expected a duration such as "{_seconds(at)}", got {_shown(at)}')
        elif kind.full_name == "google.protobuf.Timestamp":
            if not isinstance(at.value, str):
                self._wrong(at, path, f'expected a time such as "2026-01-31T12:00:00Z", got {_shown(at)}')
        elif WRAPPER.fullmatch(kind.full_name):  # as JSON, a wrapped value is the value itself
            self._scalar(at, kind.fields_by_name["value"], path)
        else:
            self.message(at, kind, f"{path}.")

    def _scalar(self, at: Placed, field: FieldDescriptor, path: str) -> None:
        expected = _expected(at.value, field)
        if expected:
            self._wrong(at, path, f"expected {expected}, got {_shown(at)}")


def _expected(value: object, field: FieldDescriptor) -> str:
    """What a field of this type takes instead of the value; "" when it takes the value."""
    if field.enum_type is not None:
        names = [one.name for one in field.enum_type.values]
        fine = value in names or (isinstance(value, int) and value in field.enum_type.values_by_number)
        near = difflib.get_close_matches(value.upper(), names, n=1) if isinstance(value, str) else []
        return "" if fine else near[0] if near else f"one of {', '.join(names)}"
    if field.cpp_type in BITS:
        low, high = BITS[field.cpp_type]
        number = _whole(value)
        return "" if number is not None and low <= number <= high else f"a whole number{_at_least(low)}"
    if field.cpp_type in FLOATS:
        fine = not isinstance(value, bool) and isinstance(value, (int, float))
        return "" if fine or (isinstance(value, str) and NUMBER.fullmatch(value)) else "a number"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "" if isinstance(value, bool) else "true or false"
    if not isinstance(value, str):
        return "a text in quotes" if isinstance(value, (int, float)) else "a text"
    return "" if field.type != FieldDescriptor.TYPE_BYTES or _base64(value) else "bytes in base64"


def _at_least(low: int) -> str:
    return ", 0 or more" if low == 0 else ""


def _whole(value: object) -> int | None:
    """A whole number, or the text of one, as the protocol's JSON writes long ones."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"-?[0-9]+", value) else None
    return value if isinstance(value, int) else None


def _base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _seconds(at: Placed) -> str:
    """What was most likely meant: 300s for 5m or for 300."""
    if not isinstance(at.value, bool) and isinstance(at.value, (int, float)):
        return f"{at.value:g}s"
    if isinstance(at.value, str) and at.value and (spoken := SPOKEN.fullmatch(at.value)):
        try:
            parts = {unit: float(number) for unit, number in spoken.groupdict("0").items()}
        except ValueError:
            return "30s"
        return f"{parts['h'] * 3600 + parts['m'] * 60 + parts['s']:.12g}s"
    return "30s"


def _home(key: str, kind: Descriptor) -> str:
    """Where below a message the field of this very name is, nearest first; "" when nowhere near."""
    for path, inner in _below(kind):
        for field in inner.fields:
            if key in (field.json_name, field.name):
                return f"{path}.{field.json_name}"
    return ""


def _below(kind: Descriptor) -> Iterator[tuple[str, Descriptor]]:
    """The messages in a message's own fields, and in theirs, each once and with its path."""
    seen = {kind.full_name}
    waiting = deque([("", kind)])
    while waiting:
        path, around = waiting.popleft()
        for field in around.fields:
            inner = field.message_type
            known = inner is None or inner.full_name in seen or inner.full_name.startswith("google.")
            if inner is None or known or inner.GetOptions().map_entry or path.count(".") > 1:
                continue
            seen.add(inner.full_name)
            where = f"{path}.{field.json_name}" if path else field.json_name
            yield where, inner
            waiting.append((where, inner))


def _shown(at: Placed) -> str:
    if isinstance(at.value, dict):
        return "an object"
    if isinstance(at.value, list):
        return "a list"
    if isinstance(at.value, bool):
        return "true" if at.value else "false"
    if at.value is None:
        return "null"
    return f'"{at.value}"' if isinstance(at.value, str) else str(at.value)
