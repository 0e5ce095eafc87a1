"""A document becomes a canonical spec, or every mistake in it is named with its place and the nearest valid name."""

import json
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.wrappers_pb2 import Int64Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamill.wire import pps_v2_pb2 as pps
from services.kit.errors import Problem
from services.pps.domain.errors import SpecUnreadable
from services.pps.domain.names import PipelineKey
from services.pps.domain.spec import inputs, specs
from services.pps.domain.spec.merge import BUILT_IN, merged, without_nulls
from services.pps.servicers.specs.reader import DEEPEST, FLOATS, INTEGERS, WELL_KNOWN, WRAPPERS, read_spec, to_request


def test_both_spellings_give_one_spec() -> None:
    camel = {"pipeline": {"name": "p"}, "parallelismSpec": {"constant": "2"}, "datumTries": 5, "outputBranch": "x"}
    snake = {"pipeline": {"name": "p"}, "parallelism_spec": {"constant": 2}, "datum_tries": "5", "output_branch": "x"}
    assert read_spec(json.dumps(camel)) == read_spec(json.dumps(snake))


def test_all_mistakes_come_at_once_with_path_and_nearest_name() -> None:
    document = {
        "pipelin": {"name": "p"},
        "transform": {"cmd": "python3 x.py", "environment": {}, "env": {"A": 1}},
        "input": {"cross": [{"pfs": {"repo": "a", "globb": "/*"}}, {"pfs": {"repo": 7}}]},
        "datumTimeout": "soon",
        "datumTries": "1.5",
        "tolerations": [{"operator": "EQUALS"}],
        "autoscaling": "yes",
    }
    with pytest.raises(SpecUnreadable) as caught:
        read_spec(json.dumps(document))
    text = str(caught.value)
    for part in (
        'unexpected field "pipelin" in the spec; did you mean "pipeline"?',
        'transform.cmd: expected a list, got "python3 x.py"',
        'unexpected field "environment" in transform',
        "transform.env.A: expected a string, got 1",
        'unexpected field "globb" in input.cross[0].pfs; did you mean "glob"?',
        "input.cross[1].pfs.repo: expected a string, got 7",
        'datumTimeout: expected a duration such as "30s", got "soon"',
        'datumTries: expected a whole number, got "1.5"',
        'tolerations[0].operator: "EQUALS" is no TolerationOperator; did you mean "EQUAL"?',
        'autoscaling: expected true or false, got "yes"',
    ):
        assert part in text
    assert text.startswith("could not make effective spec: ")


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '"pipeline"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(SpecUnreadable, match="could not"):
        read_spec(text)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ('"input": ' + '{"cross": [' * 3000 + "{}" + "]}" * 3000, "nested too deeply"),
        ('"input": ' + '{"cross": [' * 80 + "{}" + "]}" * 80, "nested too deeply"),
        ('"transform": {"cmd": ["a\\u0000b"]}', r"transform.cmd\[0\]: no command line"),
        ('"transform": {"env": {"A": "\\u0000"}}', "transform.env.A: no command line"),
        ('"description": "\\ud800"', "description"),
        ('"datumTries": 99999999999999999999', "datumTries"),
        ('"datumTimeout": "999999999999999999s"', "datumTimeout"),
        ('"resourceLimits": {"cpu": 1e999}', "cpu"),
        ('"parallelismSpec": {"constant": -1}', "constant"),
    ],
)
def test_what_no_message_can_hold_is_refused(fields: str, text: str) -> None:
    with pytest.raises(SpecUnreadable, match=text):
        to_request(read_spec("{" + fields + "}"))


def test_what_is_nested_as_deep_as_may_be_can_be_sent_on() -> None:
    request = to_request(read_spec('{"input": ' + '{"cross": [' * (DEEPEST - 1) + "{}" + "]}" * (DEEPEST - 1) + "}"))
    sent = pps.PipelineInfo(details=pps.PipelineInfo.Details(input=request.input)).SerializeToString()
    assert pps.PipelineInfo.FromString(sent).details.input == request.input


def test_null_is_kept_for_merging() -> None:
    assert read_spec('{"transform": null, "resourceRequests": null}') == {"transform": None, "resourceRequests": None}


NAMES = st.text("abcdefgh-", min_size=1, max_size=8)
SPECS = st.builds(
    pps.CreatePipelineRequest,
    pipeline=st.builds(pps.Pipeline, name=NAMES),
    transform=st.builds(
        pps.Transform,
        cmd=st.lists(NAMES),
        env=st.dictionaries(NAMES, NAMES),
        accept_return_code=st.lists(st.integers(0, 9)),
    ),
    parallelism_spec=st.builds(pps.ParallelismSpec, constant=st.integers(0, 2**63)),
    description=NAMES,
    datum_tries=st.integers(0, 100),
    resource_limits=st.builds(pps.ResourceSpec, cpu=st.floats(0, 8, width=32), memory=NAMES),
    tolerations=st.lists(
        st.builds(
            pps.Toleration,
            key=NAMES,
            operator=st.sampled_from([1, 2]),
            toleration_seconds=st.none() | st.builds(Int64Value, value=st.integers(-9, 9)),
        ),
        max_size=2,
    ),
)


@given(SPECS)
def test_every_message_survives_the_way_through_json(message: pps.CreatePipelineRequest) -> None:
    text = json.dumps(MessageToDict(message))
    assert to_request(read_spec(text)) == message
    assert read_spec(json.dumps(MessageToDict(message, preserving_proto_field_name=True))) == read_spec(text)


def values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    """Values of the right type for a field, often empty ones."""
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return st.dictionaries(NAMES, values(entry.fields_by_name["value"], depth), max_size=2)
    one = single(field, depth)
    return st.lists(one, max_size=3) if field.is_repeated else st.none() | one


def single(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.full_name in WELL_KNOWN:
        return st.just("1s" if field.message_type.name == "Duration" else "2026-01-31T12:00:00Z")
    if field.message_type is not None:
        if field.message_type.full_name in WRAPPERS:
            return single(field.message_type.fields_by_name["value"], depth)
        return messages(field.message_type, depth - 1)
    if field.enum_type is not None:
        return st.sampled_from(list(field.enum_type.values_by_name))
    if field.type in INTEGERS:
        return st.integers(0, 3) | st.integers(0, 3).map(str)
    if field.type in FLOATS:
        return st.floats(0, 1)
    return st.booleans() if field.type == FieldDescriptor.TYPE_BOOL else st.just("") | st.just("/") | NAMES


def messages(kind: Descriptor, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Documents of a message type, nested so deep at most."""
    if depth == 0:
        return st.just({})
    fields = {field.name: field for field in kind.fields}
    some = st.sets(st.sampled_from(sorted(fields)), max_size=4) if fields else st.just(set[str]())
    return some.flatmap(lambda names: st.fixed_dictionaries({name: values(fields[name], depth) for name in names}))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(messages(pps.CreatePipelineRequest.DESCRIPTOR, 4), messages(pps.Input.DESCRIPTOR, 4))
def test_whatever_has_the_right_types_is_taken_or_refused_as_a_problem(
    document: dict[str, Any], tree: dict[str, Any]
) -> None:
    key = PipelineKey("default", "edges")
    whole = {**document, "pipeline": {"name": "edges"}, "transform": {"cmd": ["true"]}, "input": tree}
    try:
        effective = without_nulls(merged(BUILT_IN, read_spec(json.dumps(whole))))
        to_request(effective)
        spec = specs.completed(effective, key)
        specs.check(spec, key)
    except Problem:
        return
    for leaf in inputs.leaves(spec.get("input") or {}):
        assert leaf["repo"] and leaf["name"] and leaf["branch"] and leaf["project"] and leaf["glob"][0] == "/"  # noqa: PT018
    assert to_request(spec).datum_tries > 0
