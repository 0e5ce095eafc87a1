"""Is every element of the .proto files explained, are ours built alike, does what was released still work?

Decided here: the rules for .proto files. Public packages owe a comment on every element and no more, for their names
and shapes are not ours (tests/compat holds them against the tables). Packages datamill.<noun>.v<n> also follow our
own form, and are compared with the newest release tag, when there is one. Elsewhere: generating code (generate.py).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

PROTOS = Path(__file__).resolve().parent
WIRE = Path("datamill/wire")
OURS = re.compile(r"datamill\.([a-z]+)\.(v[0-9]+)")
RELEASES = "v[0-9]*"
HIGHEST = 1000  # no field of ours is numbered higher

# Field numbers of descriptor.proto: a path of these and of positions leads to an element's comments.
SYNTAX, MESSAGE, ENUM, SERVICE = 12, 4, 5, 6
FIELD, NESTED, NESTED_ENUM, ONEOF = 2, 3, 4, 8
VALUE, METHOD = 2, 2
RESERVED_IN_MESSAGE, RESERVED_IN_ENUM = (9, 10), (4, 5)

COUNTS = {FieldDescriptorProto.Type.Value(f"TYPE_{name}") for name in ("INT32", "INT64", "UINT32", "UINT64")}
TIME = re.compile(r"_(at|time|seconds|millis|micros|nanos|ms|ttl|timeout)$")
SIZE = re.compile(r"(^|_)size$")


class ProtocError(Exception):
    """protoc refused the files; its words have gone to stderr."""


@dataclass(frozen=True)
class Element:
    """Something that owes its reader a comment. name: as an error message says it."""

    name: str
    path: tuple[int, ...]
    statement: bool = False  # may be written any number of times, as `reserved` may; each time owes a comment


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description="Check the .proto files.")
    options.add_argument("--root", type=Path, default=PROTOS, help="folder that holds datamill/wire")
    options.add_argument("--against", help="git revision that must stay readable (default: the newest release tag)")
    chosen = options.parse_args(arguments)
    try:
        files = compiled(chosen.root)
        release = chosen.against or newest_release(chosen.root)
        older = compiled_at(release, chosen.root) if release else []
    except ProtocError:
        return 1
    complaints = [line for file in files for line in lint(file)] + breaks(older, files)
    for line in complaints:
        print(line, file=sys.stderr)
    print(f"protos: {len(files)} files, {len(complaints)} complaints; compared with {release or 'no release yet'}")
    return 1 if complaints else 0


# Reading.


def compiled(root: Path) -> list[FileDescriptorProto]:
    """Every proto file below root, with its comments."""
    names = sorted(str(path.relative_to(root)) for path in (root / WIRE).glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "files.bin"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", "--include_source_info"]
        if subprocess.run([*command, f"--descriptor_set_out={out}", *names], check=False).returncode:
            raise ProtocError
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def newest_release(root: Path) -> str | None:
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", RELEASES]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def compiled_at(revision: str, root: Path) -> list[FileDescriptorProto]:
    """The proto files of an older revision; none when it had none."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout

    with tempfile.TemporaryDirectory() as scratch:
        names = git("ls-tree", "--name-only", revision, f"{WIRE}/").split()
        (Path(scratch) / WIRE).mkdir(parents=True)
        for name in (name for name in names if name.endswith(".proto")):
            (Path(scratch) / name).write_text(git("show", f"{revision}:./{name}"))
        return compiled(Path(scratch)) if names else []


# Rules for every file, and for ours.


def lint(file: FileDescriptorProto) -> list[str]:
    complaints = [f"{file.name}: {element.name} has no comment" for element in uncommented(file)]
    if found := OURS.fullmatch(file.package):
        noun, version = found.groups()
        expected = f"{WIRE}/{noun}_{version}.proto"
        if file.name != expected:
            complaints.append(f"{file.name}: package {file.package} belongs in {expected}")
        complaints += [f"{file.name}: {line}" for line in (*method_forms(file), *element_forms(file))]
    return complaints


def uncommented(file: FileDescriptorProto) -> Iterator[Element]:
    explained: dict[tuple[int, ...], list[bool]] = {}
    for place in file.source_code_info.location:
        words = place.leading_comments + place.trailing_comments
        explained.setdefault(tuple(place.path), []).append(bool(words.strip()))
    for element in elements(file):
        if not all(explained.get(element.path, [element.statement])):
            yield element


def elements(file: FileDescriptorProto) -> Iterator[Element]:
    yield Element("the file", (SYNTAX,))
    for index, message in enumerate(file.message_type):
        yield from message_elements(message, message.name, (MESSAGE, index))
    for index, enum in enumerate(file.enum_type):
        yield from enum_elements(enum, enum.name, (ENUM, index))
    for index, service in enumerate(file.service):
        yield Element(service.name, (SERVICE, index))
        for at, method in enumerate(service.method):
            yield Element(f"{service.name}.{method.name}", (SERVICE, index, METHOD, at))


def message_elements(message: DescriptorProto, name: str, path: tuple[int, ...]) -> Iterator[Element]:
    if message.options.map_entry:
        return
    yield Element(name, path)
    for index, field in enumerate(message.field):
        yield Element(f"{name}.{field.name}", (*path, FIELD, index))
    made_up = {field.oneof_index for field in message.field if field.proto3_optional}
    for index, oneof in enumerate(message.oneof_decl):
        if index not in made_up:
            yield Element(f"{name}.{oneof.name}", (*path, ONEOF, index))
    for kind in RESERVED_IN_MESSAGE:
        yield Element(f"a reservation in {name}", (*path, kind), statement=True)
    for index, nested in enumerate(message.nested_type):
        yield from message_elements(nested, f"{name}.{nested.name}", (*path, NESTED, index))
    for index, enum in enumerate(message.enum_type):
        yield from enum_elements(enum, f"{name}.{enum.name}", (*path, NESTED_ENUM, index))


def enum_elements(enum: EnumDescriptorProto, name: str, path: tuple[int, ...]) -> Iterator[Element]:
    yield Element(name, path)
    for index, value in enumerate(enum.value):
        yield Element(f"{name}.{value.name}", (*path, VALUE, index))
    for kind in RESERVED_IN_ENUM:
        yield Element(f"a reservation in {name}", (*path, kind), statement=True)


def method_forms(file: FileDescriptorProto) -> Iterator[str]:
    for service in file.service:
        for method in service.method:
            for spoken, wanted in ((method.input_type, "Request"), (method.output_type, "Response")):
                if spoken != (expected := f".{file.package}.{method.name}{wanted}"):
                    yield f"{service.name}.{method.name} should use {expected[1:]}, not {spoken[1:]}"


def element_forms(file: FileDescriptorProto) -> Iterator[str]:
    for name, message in messages(file).items():
        for field in message.field:
            if field.type in COUNTS and TIME.search(field.name):
                yield f"{name}.{field.name} should be a Timestamp or a Duration"
            if field.type in COUNTS and SIZE.search(field.name):
                yield f"{name}.{field.name} should say its unit: {field.name}_bytes"
    for name, enum in enums(file).items():
        if not enum.value[0].name.endswith("_UNSPECIFIED"):
            yield f"{name}.{enum.value[0].name} is zero and should end in _UNSPECIFIED"


# What was released.


def messages(file: FileDescriptorProto) -> dict[str, DescriptorProto]:
    """Every message by its full name, map entries left out."""
    found: dict[str, DescriptorProto] = {}
    waiting = [(file.package, message) for message in file.message_type]
    while waiting:
        scope, message = waiting.pop(0)
        if not message.options.map_entry:
            found[name := f"{scope}.{message.name}"] = message
            waiting += [(name, nested) for nested in message.nested_type]
    return found


def enums(file: FileDescriptorProto) -> dict[str, EnumDescriptorProto]:
    found = {f"{file.package}.{enum.name}": enum for enum in file.enum_type}
    for scope, message in messages(file).items():
        found |= {f"{scope}.{enum.name}": enum for enum in message.enum_type}
    return found


def promises(file: FileDescriptorProto) -> dict[str, str]:
    """What callers rely on, as text by number or name. A reserved number keeps no promise but says so: "reserved"."""
    made: dict[str, str] = {}
    for name, message in messages(file).items():
        made[name] = "a message"
        for span in message.reserved_range:  # the end is not part of it
            made |= {f"{name} field {number}": "reserved" for number in range(span.start, min(span.end, HIGHEST))}
        for field in message.field:
            kind = field.type_name or FieldDescriptorProto.Type.Name(field.type)
            oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else "none"
            label = FieldDescriptorProto.Label.Name(field.label)
            made[f"{name} field {field.number}"] = f"{field.name}, {label} {kind}, oneof {oneof}"
    for name, enum in enums(file).items():
        made[name] = "an enum"
        for taken in enum.reserved_range:  # the end is part of it
            made |= {f"{name} value {number}": "reserved" for number in range(taken.start, taken.end + 1)}
        made |= {f"{name} value {value.number}": value.name for value in enum.value}
    for service in file.service:
        for method in service.method:
            shape = f"{method.client_streaming} {method.input_type} -> {method.server_streaming} {method.output_type}"
            made[f"{file.package}.{service.name}.{method.name}"] = shape
    return made


def breaks(older: Sequence[FileDescriptorProto], newer: Sequence[FileDescriptorProto]) -> list[str]:
    """Promises of our own packages that no longer hold. A field or value may go when its number stays reserved."""
    now: dict[str, str] = {}
    for file in newer:
        now |= promises(file)
    before: dict[str, str] = {}
    for file in older:
        before |= promises(file) if OURS.fullmatch(file.package) else {}
    return [
        f"{name} was released as {was!r} and is {now.get(name, 'missing')!r} now"
        for name, was in before.items()
        if now.get(name) not in (was, "reserved")
    ]


if __name__ == "__main__":
    sys.exit(main())
