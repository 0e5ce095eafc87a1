"""Random requests for any method, made from its descriptor: names that exist, names that cannot, and plain noise."""

import random
from collections.abc import Callable, Sequence

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

DEPTH = 5
TEXTS = ["", " ", "/", "..", "/a", "/a/", "a*", "{a,b}", "[", "(", "default", "user", "meta", "spec", "__filesets__",
         "master", "^", "~1", ".1", "\x00", "ü" * 40, "x" * 300, "0" * 32, "f" * 12 + "4" + "f" * 19, "-1", "1e9",
         "@every 1s", "s3://nowhere/x", "http://127.0.0.1:1/x", "{}", "null", "[1]"]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 7, 1000, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def request_class(method: MethodDescriptor) -> type[Message]:
    return message_factory.GetMessageClass(method.input_type)


def random_message(draw: random.Random, shape: Descriptor, known: Sequence[str], depth: int = DEPTH) -> Message:
    """A message of this shape. known: names that mean something to the server, used half of the time."""
    made = message_factory.GetMessageClass(shape)()
    if shape.full_name == "google.protobuf.Any":
        return made
    likely = 0.8 if depth == DEPTH else 0.5
    for field in shape.fields:
        if draw.random() < likely:
            _fill(draw, made, field, known, depth)
    return made


def _fill(draw: random.Random, made: Message, field: FieldDescriptor, known: Sequence[str], depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        if value.message_type is None:
            getattr(made, field.name)[_value(draw, key, known)] = _value(draw, value, known)
        return
    if field.message_type is not None:
        if depth == 0:
            return
        for _ in range(draw.randint(1, 3) if field.is_repeated else 1):
            inner = random_message(draw, field.message_type, known, depth - 1)
            target = getattr(made, field.name)
            target.add().CopyFrom(inner) if field.is_repeated else target.CopyFrom(inner)
        return
    if field.is_repeated:
        getattr(made, field.name).extend(_value(draw, field, known) for _ in range(draw.randint(1, 3)))
    else:
        setattr(made, field.name, _value(draw, field, known))


def _value(draw: random.Random, field: FieldDescriptor, known: Sequence[str]) -> object:
    kind = field.cpp_type
    if field.enum_type is not None:
        return draw.choice([*field.enum_type.values_by_number, 99])
    if kind in WHOLE:
        low, high = WHOLE[kind]
        return min(max(draw.choice([*NUMBERS, draw.randint(low, high)]), low), high)
    others: dict[int, Callable[[], object]] = {
        FieldDescriptor.CPPTYPE_BOOL: lambda: draw.random() < 0.5,
        FieldDescriptor.CPPTYPE_DOUBLE: lambda: draw.choice([0.0, -1.0, 1e308, float("nan"), float("inf")]),
        FieldDescriptor.CPPTYPE_FLOAT: lambda: draw.choice([0.0, -1.0, 1e30, float("nan"), float("inf")]),
        FieldDescriptor.CPPTYPE_STRING: lambda: draw.choice(known if draw.random() < 0.5 else TEXTS),
    }
    if kind == FieldDescriptor.CPPTYPE_STRING and field.type == FieldDescriptor.TYPE_BYTES:
        return draw.randbytes(draw.choice([0, 1, 16, 32]))
    return others[kind]()
