"""The reader of spec files: what it accepts, in which words it refuses, and what it leaves to the server."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamill.cli.specs import reading, values, writing
from datamill.cli.specs.mistakes import Mistaken


def read(text: str) -> list[dict[str, Any]]:
    return [one.spec for one in reading.read(text, project="default", source="a.yaml")]


def mistakes(text: str) -> list[str]:
    with pytest.raises(Mistaken) as raised:
        read(text)
    return raised.value.lines


def named(name: str, project: str = "default") -> dict[str, Any]:
    return {"pipeline": {"name": name, "project": {"name": project}}}


def test_json_and_yaml_say_the_same() -> None:
    json_text = '{"pipeline": {"name": "a"}, "transform": {"cmd": ["cp", "x"]}, "datum_tries": 2}'
    yaml_text = "# a comment\npipeline: {name: a,}\ntransform:\n  cmd: [cp, x]\ndatum_tries: 2\n"
    wanted = {**named("a"), "transform": {"cmd": ["cp", "x"]}, "datum_tries": 2}
    assert read(json_text) == read(yaml_text) == [wanted]


def test_tabs_are_fine_in_json() -> None:
    assert read('{\n\t"pipeline": {\n\t\t"name": "a"\n\t}\n}') == [named("a")]


def test_several_specs_in_one_text() -> None:
    text = (
        '{"pipeline": {"name": "a"}}\n---\n- pipeline: {name: b}\n- {pipeline: {name: c}}\n---\npipeline: {name: d}\n'
    )
    assert read(text) == [named(name) for name in "abcd"]


def test_an_empty_document_at_the_end_is_nothing() -> None:
    assert read("pipeline: {name: a}\n---\n") == [named("a")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-3", -3), (".5", 0.5), ("1.5e3", 1500.0), ("true", True), ("null", None), ("~", None), ("", None),
        ("yes", "yes"), ("off", "off"), ("1:30", "1:30"), ("'12'", "12"), ('"no"', "no"), ("!!str 12", "12"),
        ("a b", "a b"), ("v1.2.3", "v1.2.3"), ("18446744073709551615", 18446744073709551615),
    ],
)  # fmt: skip
def test_scalars(text: str, value: object) -> None:
    (found,) = values.documents(f"x: {text}\n", "a.yaml", [])
    assert found.plain() == {"x": value}


@pytest.mark.parametrize("text", ["012", "0x1F", "0o17", "+5", "1_000"])
def test_only_plain_decimal_integers(text: str) -> None:
    (line,) = mistakes(f"pipeline: {{name: a}}\ndatumTries: {text}\n")
    words = f'integer value "{text}" does not match regexp ^(0|(-?[1-9][0-9]*))$'
    assert line == f"a.yaml:2: malformed pipeline spec: {words}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: *x\n", "malformed pipeline spec: aliases"),
        ("pipeline: {name: a}\nsalt: 2020-01-01\n", "a.yaml:2: malformed pipeline spec: 2020-01-01"),
        ("pipeline: {name: a}\nsalt: !!binary aGk=\n", "a.yaml:2: malformed pipeline spec: tag"),
        ("a: [\n", "^a.yaml:2: malformed pipeline spec: .*, column 1$"),
        ('{"a": 1\n "b": 2}', "^a.yaml:2: malformed pipeline spec: Expecting ',' delimiter, column 2"),
        ('{"a": [1,],\n "b"; 2}', "^a.yaml:2: malformed pipeline spec: Expecting ':' delimiter, column 5"),
        ("pipeline: {name: a}\nsalt: \a\n", "^a.yaml:2: malformed pipeline spec: .*special characters"),
        ("12: x\n", "malformed pipeline spec: keys"),
        ("pipeline: {name: a}\nsalt: 1e999\n", "a.yaml:2: malformed pipeline spec: 1e999 is too large"),
        ("[" * 3000, "it is nested too deeply"),
        ("[" * 3000 + "]" * 3000, "it is nested too deeply"),
        ("- 3\n", "malformed pipeline spec: expected a mapping"),
        ("words\n", "expected a mapping or a sequence"),
        ("transform: {}\n", "no `pipeline` specified"),
        ("pipeline: {}\n", "no pipeline `name` specified"),
        ("pipeline: {name: a}\nupdate: 1\n", "update must be a boolean"),
        ("pipeline: {name: a}\ndryRun: x\n", "dryRun must be a boolean"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(Mistaken, match=words):
        read(text)


def test_schema_keys_go_and_nulls_stay() -> None:
    text = '{"$schema": "s", "pipeline": {"name": "a", "$schema": "s"}, "resourceRequests": null}'
    assert read(text) == [{**named("a"), "resourceRequests": None}]


def test_the_project_is_filled_in_only_where_none_is_said() -> None:
    text = "pipeline: {name: a}\n---\npipeline: {name: b, project: {name: q}}\n"
    assert [one.spec for one in reading.read(text, project="p", source="-")] == [named("a", "p"), named("b", "q")]


def test_what_the_file_says_about_its_creation_is_taken_out() -> None:
    (found,) = reading.read("pipeline: {name: a}\nupdate: true\ndry_run: false\n", project="default", source="-")
    assert (found.update, found.reprocess, found.dry_run) == (True, None, False)
    assert found.spec == named("a")
    assert found.name == "a"


def test_every_mistake_is_told_at_once_with_its_line_and_the_nearest_name() -> None:
    text = """pipeline: {name: a}
transform:
  comand: [x]
  image: 12
  env: {A: 1, B: b}
parallelismSpec: {constant: many}
cmd: [x]
input: {repo: x}
jobTimeout: 5m
datum_tries: 2
datumTries: 3
salt: a
salt: b
autoscaling: "yes"
service: {type: [ClusterIP]}
egress: {objectStorage: {url: a}, sqlDatabase: {fileFormat: {type: cvs}}}
resourceLimits: {cpu: lots}
---
- {pipeline: {}, tolerations: {}}
- transform: null
"""
    told = mistakes(text)
    assert told[:-2] == [
        'a.yaml:3: unexpected field "comand" in transform; did you mean "cmd"?',
        "a.yaml:4: transform.image: expected a text in quotes, got 12",
        "a.yaml:5: transform.env.A: expected a text in quotes, got 1",
        'a.yaml:6: parallelismSpec.constant: expected a whole number, 0 or more, got "many"',
        'a.yaml:7: unexpected field "cmd" in the spec; did you mean "transform.cmd"?',
        'a.yaml:8: unexpected field "repo" in input; did you mean "input.pfs.repo"?',
        'a.yaml:9: jobTimeout: expected a duration such as "300s", got "5m"',
        'a.yaml:11: datumTries: is given twice: "datum_tries" and "datumTries" are the same',
        'a.yaml:13: malformed pipeline spec: "salt" is given twice, first in line 12',
        'a.yaml:14: autoscaling: expected true or false, got "yes"',
        "a.yaml:15: service.type: expected a text, got a list",
        'a.yaml:16: egress.sqlDatabase: cannot be set together with "objectStorage"',
        'a.yaml:16: egress.sqlDatabase.fileFormat.type: expected CSV, got "cvs"',
        'a.yaml:17: resourceLimits.cpu: expected a number, got "lots"',
        "a.yaml:19: tolerations: expected a list, got an object",
        "a.yaml:19: no pipeline `name` specified",
        "a.yaml:20: no `pipeline` specified",
    ]
    assert all(re.fullmatch(r"could not unmarshal {.* as CreatePipelineRequest", line) for line in told[-2:])


def test_a_document_that_cannot_be_read_hides_no_mistake_of_others() -> None:
    text = "pipeline: {name: a}\ntrasnform: {}\n---\npipeline: {name: b}\n  input: {}\n"
    first, second, _ = mistakes(text)
    assert first.startswith('a.yaml:2: unexpected field "trasnform" in the spec')
    assert second.startswith("a.yaml:5: malformed pipeline spec: ")
    assert second.endswith("; is the indentation right?")


def test_what_the_protocol_takes_is_taken() -> None:
    text = """pipeline: {name: a}
parallelism_spec: {constant: "5"}
datumSetSpec: {number: 3.0}
input: null
jobTimeout: 1.5s
transform: {cmd: ["cp"], env: {A: null}, acceptReturnCode: ["4", 5], user: "\\uD83D\\uDE00"}
resourceLimits: {cpu: 0.5, gpu: {type: x, number: 1}}
tolerations: [{operator: EXISTS, tolerationSeconds: "20"}, {operator: 1}]
"""
    (spec,) = read(text)
    found = reading.message(spec)
    assert (found.parallelism_spec.constant, found.datum_set_spec.number) == (5, 3)
    assert (list(found.transform.accept_return_code), found.transform.user) == ([4, 5], "\N{GRINNING FACE}")
    assert found.tolerations[0].toleration_seconds.value == 20


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("ubuntu", "specify a tag"),
        ("localhost:5000/ubuntu", "specify a tag"),
        ("ubuntu:latest", "do not specify the ':latest' tag"),
    ],
)
def test_images_that_may_change(image: str, words: str) -> None:
    (warning,) = reading.warnings({"transform": {"cmd": ["cp"], "image": image}})
    assert words in warning


def test_images_that_do_not() -> None:
    assert not list(reading.warnings({"transform": {"cmd": ["cp"], "image": "localhost:5000/ubuntu:22.04"}}))
    assert not list(reading.warnings({"transform": {"cmd": ["cp"]}}))


@pytest.mark.parametrize("spec", [{}, {"transform": {"image": "a:1"}}, {"transform": {"cmd": []}}, {"transform": None}])
def test_a_spec_without_a_program_is_warned_about(spec: dict[str, Any]) -> None:
    (warning,) = reading.warnings(spec)
    assert "no transform.cmd" in warning


def test_json_may_follow_on_json() -> None:
    assert read('{"pipeline": {"name": "a"}}\n{"pipeline":\n{"name": "b"}}\n') == [named("a"), named("b")]
    (line,) = mistakes('{"pipeline": {"name": "a"}}\n{"pipeline":\n{"name": "b"}, "salt": null,\n"update": 3}')
    assert line == "a.yaml:4: update must be a boolean"


TEXTS = st.text() | st.sampled_from(
    ["012", "1e5", "0o7", "yes", "~", "2020-01-01", "a: b", "- x", "a\n b\n", "#", "\t"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_is_read_back(value: dict[str, Any]) -> None:
    (found,) = values.documents(writing.written(value), "a.yaml", [])
    assert found.plain() == value


def test_each_document_has_its_own_manner() -> None:
    text = 'a: 1\n---\n\n{\n\t"a": 2}{"a": 3,\n"b": "\\n---"}\n--- {a: 4}\n---\na: |\n  ---\n---\n'
    found = values.documents(text, "a.yaml", [])
    assert [(one.plain(), one.line) for one in found] == [
        ({"a": 1}, 1), ({"a": 2}, 4), ({"a": 3, "b": "\n---"}, 5), ({"a": 4}, 7), ({"a": "---\n"}, 9),
    ]  # fmt: skip
    assert values.documents("%YAML 1.2\n---\na: 1\n---\n", "a.yaml", [])[0].line == 3
