"""The generated modules speak the public protocol, name by name and number by number.

wire/*.tsv hold its facts (messages, enums, methods): our .proto files must have all of them, and nothing else in those
packages. Deployed clients encode by these numbers, so when the two differ it is never the table that gives way.
"""

from __future__ import annotations

import csv
import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from google.protobuf import any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

import datamill.wire

TABLES = Path(__file__).parent / "wire"
GOOGLE = "google.protobuf"
KNOWN = (any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
SCALARS: dict[int, str] = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}
Facts = dict[str, str]


# What the tables say: one line of text for each element, under its full name.


def rows(table: str) -> list[dict[str, str]]:
    with (TABLES / f"{table}.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def tabled_messages() -> Facts:
    facts: Facts = {}
    for row in rows("messages"):
        message = f"{row['package']}.{row['message']}"
        facts[message] = "message"
        if name := row["field_name"]:
            kind = row["label"] if row["type"] == "map" else f"{row['label']} {row['type']}".strip()
            facts[f"{message}.{name}"] = field_fact(row["field_number"], kind, row["oneof"], json_name(name))
    return facts


def tabled_enums() -> Facts:
    facts: Facts = {}
    for row in rows("enums"):
        enum = f"{row['package']}.{row['enum']}"
        facts[enum] = "enum"
        facts[f"{enum}.{row['name']}"] = row["number"]
    return facts


def tabled_methods() -> Facts:
    return {
        f"{row['package']}.{row['service']}.{row['method']}": method_fact(
            row["request_type"],
            row["client_streaming"] == "true",
            row["response_type"],
            row["server_streaming"] == "true",
        )
        for row in rows("methods")
    }


def json_name(field: str) -> str:
    """The name a field has in JSON unless its file says otherwise; the protocol never does."""
    head, *tail = field.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in tail)


# What the modules say, in the same words.


def field_fact(number: int | str, kind: str, oneof: str, json: str) -> str:
    return f"number {number}, {kind}, oneof {oneof or '-'}, json {json}"


def method_fact(request: str, client_streams: bool, response: str, server_streams: bool) -> str:
    return f"{'stream ' * client_streams}{request} -> {'stream ' * server_streams}{response}"


def files() -> list[FileDescriptor]:
    names = [module.name for module in pkgutil.iter_modules(datamill.wire.__path__) if module.name.endswith("_pb2")]
    modules = [importlib.import_module(f"datamill.wire.{name}") for name in names]
    return [module.DESCRIPTOR for module in (*modules, *KNOWN)]


def messages(file: FileDescriptor) -> Iterator[Descriptor]:
    waiting = list(file.message_types_by_name.values())
    while waiting:
        message = waiting.pop()
        if not message.GetOptions().map_entry:
            yield message
            waiting += message.nested_types


def enums(file: FileDescriptor) -> Iterator[EnumDescriptor]:
    yield from file.enum_types_by_name.values()
    for message in messages(file):
        yield from message.enum_types


def methods(file: FileDescriptor) -> Iterator[MethodDescriptor]:
    for service in file.services_by_name.values():
        yield from service.methods


def kind_of(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = (kind_of(message.fields_by_name[name]) for name in ("key", "value"))
        return f"map<{key},{value}>"
    named = message if message is not None else field.enum_type
    name = named.full_name if named is not None else SCALARS[field.type]
    return f"repeated {name}" if field.is_repeated else name


def spoken_messages() -> Facts:
    facts: Facts = {}
    for message in (message for file in files() for message in messages(file)):
        facts[message.full_name] = "message"
        for field in message.fields:
            oneof = field.containing_oneof.name if field.containing_oneof else ""
            facts[field.full_name] = field_fact(field.number, kind_of(field), oneof, field.json_name)
    return facts


def spoken_enums() -> Facts:
    facts: Facts = {}
    for enum in (enum for file in files() for enum in enums(file)):
        facts[enum.full_name] = "enum"
        facts |= {f"{enum.full_name}.{value.name}": str(value.number) for value in enum.values}
    return facts


def spoken_methods() -> Facts:
    return {
        method.full_name: method_fact(
            method.input_type.full_name, method.client_streaming, method.output_type.full_name, method.server_streaming
        )
        for file in files()
        for method in methods(file)
    }


# The comparison.


def packages() -> list[str]:
    return sorted({row["package"] for table in ("messages", "enums", "methods") for row in rows(table)})


def within(package: str, facts: Mapping[str, str]) -> Facts:
    return {name: fact for name, fact in facts.items() if name.startswith(f"{package}.")}


def differences(table: Mapping[str, str], modules: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: the table says {table.get(name, 'nothing')!r}, the modules say {modules.get(name, 'nothing')!r}"
        for name in sorted({*table, *modules})
        if table.get(name) != modules.get(name)
    ]


def compare(package: str, table: Facts, modules: Facts) -> list[str]:
    wanted, found = within(package, table), within(package, modules)
    if package == GOOGLE:  # comes with protobuf, and holds much that the protocol never uses
        found = {name: fact for name, fact in found.items() if name in wanted}
    return differences(wanted, found)


@pytest.mark.parametrize("package", packages())
def test_messages_and_fields_are_those_of_the_table(package: str) -> None:
    assert compare(package, tabled_messages(), spoken_messages()) == []


@pytest.mark.parametrize("package", packages())
def test_enums_and_values_are_those_of_the_table(package: str) -> None:
    assert compare(package, tabled_enums(), spoken_enums()) == []


@pytest.mark.parametrize("package", packages())
def test_methods_and_their_types_are_those_of_the_table(package: str) -> None:
    assert compare(package, tabled_methods(), spoken_methods()) == []


def test_what_the_tables_do_not_know_is_ours_by_name() -> None:
    unknown = {file.package for file in files()} - set(packages())
    assert {package for package in unknown if not re.fullmatch(r"datamill\.[a-z]+\.v[0-9]+", package)} == set()


def test_the_tables_hold_the_whole_protocol() -> None:
    assert (len(rows("messages")), len(rows("enums")), len(rows("methods"))) == (985, 161, 144)
    assert {"pfs_v2", "pps_v2", "pachyderm.worker", "transaction_v2", "admin_v2", "versionpb_v2"} <= set(packages())


def test_a_difference_names_the_message_and_the_field() -> None:
    table = tabled_messages()
    modules = spoken_messages()
    assert modules.pop("pfs_v2.CommitInfo.error")
    modules["pps_v2.Job.id"] = field_fact(3, "string", "", "id")
    modules["pps_v2.Job.extra"] = field_fact(4, "string", "", "extra")
    found = [line.partition(":")[0] for package in packages() for line in compare(package, table, modules)]
    assert found == ["pfs_v2.CommitInfo.error", "pps_v2.Job.extra", "pps_v2.Job.id"]
