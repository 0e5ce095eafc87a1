"""Schemas say of JSON what the protocol's own mapping accepts: a spec fits, and one with a mistake does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from services.kit.errors import NotFound
from services.pfs.web.schemas import PACKAGES, schema

EXAMPLES = Path(__file__).parents[4] / "examples"
KINDS: dict[str, Any] = {
    "integer": int,
    "number": (int, float),
    "string": str,
    "boolean": bool,
    "object": dict,
    "array": list,
}
SPEC = "pps_v2/CreatePipelineRequest.schema.json"


def fits(value: Any, rule: dict[str, Any], definitions: dict[str, Any]) -> bool:
    """The part of JSON Schema that is used here."""
    if "$ref" in rule:
        return fits(value, definitions[rule["$ref"].removeprefix("#/definitions/")], definitions)
    if "anyOf" in rule:
        return any(fits(value, one, definitions) for one in rule["anyOf"])
    if "enum" in rule:
        return value in rule["enum"]
    kinds = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", list(KINDS))
    if not any(isinstance(value, KINDS[kind]) for kind in kinds):
        return False
    if isinstance(value, list):
        return all(fits(item, rule.get("items", {}), definitions) for item in value)
    if isinstance(value, dict):
        known, others = rule.get("properties", {}), rule.get("additionalProperties", {})
        return all(
            others is not False and fits(item, others, definitions)
            if name not in known
            else fits(item, known[name], definitions)
            for name, item in value.items()
        )
    return True


def spec_fits(value: Any) -> bool:
    found = json.loads(schema(SPEC))
    return fits(value, found, found["definitions"])


def full() -> pps.CreatePipelineRequest:
    request = pps.CreatePipelineRequest(
        pipeline=pps.Pipeline(name="p", project=pfs.Project(name="q")),
        transform=pps.Transform(cmd=["sh"], env={"A": "b"}),
        input=pps.Input(cross=[pps.Input(pfs=pps.PFSInput(repo="r", glob="/*"))]),
        datum_set_spec=pps.DatumSetSpec(number=3),
        s3_out=True,
        tolerations=[pps.Toleration(key="k", operator=pps.TolerationOperator.EXISTS)],
    )
    request.datum_timeout.FromSeconds(3)
    request.tolerations[0].toleration_seconds.value = 5
    return request


@pytest.mark.parametrize("own_names", [True, False])
def test_what_the_mapping_writes_fits(own_names: bool) -> None:
    document = MessageToDict(full(), preserving_proto_field_name=own_names)
    assert document["pipeline"] == {"name": "p", "project": {"name": "q"}}
    assert spec_fits(document)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.json")), ids=lambda path: path.name)
def test_the_examples_fit(path: Path) -> None:
    assert spec_fits(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "mistake",
    [
        {"pipelin": {"name": "p"}},
        {"pipeline": "p"},
        {"transform": {"cmd": "sh"}},
        {"transform": {"env": {"A": 1}}},
        {"input": {"cross": [{"pfs": {"blob": "/*"}}]}},
        {"tolerations": [{"operator": "SOMETIMES"}]},
        {"s3_out": "yes"},
    ],
)
def test_mistakes_do_not(mistake: dict[str, Any]) -> None:
    assert not spec_fits(mistake)


def test_every_message_of_the_protocol_has_one() -> None:
    for module in (pfs, pps):
        for name in module.DESCRIPTOR.message_types_by_name:
            assert module.DESCRIPTOR.package in PACKAGES
            found = json.loads(schema(f"{module.DESCRIPTOR.package}/{name}.schema.json"))
            assert found["title"] == name


@pytest.mark.parametrize(
    "address", ["", "x", "pps_v2/Nope.schema.json", "google.protobuf/Any.schema.json", "pps_v2/x/../y"]
)
def test_there_is_no_other(address: str) -> None:
    with pytest.raises(NotFound, match="no such schema"):
        schema(address)
