"""A document becomes a canonical spec, or every mistake in it is named with its place and the nearest valid name."""

import json

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from datamill.wire import pps_v2_pb2 as pps
from services.pps.domain.errors import SpecUnreadable
from services.pps.servicers.spec_reader import read_spec, to_request


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
    tolerations=st.lists(st.builds(pps.Toleration, key=NAMES, operator=st.sampled_from([1, 2])), max_size=2),
)


@given(SPECS)
def test_every_message_survives_the_way_through_json(message: pps.CreatePipelineRequest) -> None:
    text = json.dumps(MessageToDict(message))
    assert to_request(read_spec(text)) == message
    assert read_spec(json.dumps(MessageToDict(message, preserving_proto_field_name=True))) == read_spec(text)
