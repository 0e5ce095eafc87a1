"""The reader of spec files: what it accepts, in which words it refuses, and what it leaves to the server."""

from typing import Any

import pytest

from datamill.cli import specs
from datamill.errors import Invalid


def read(text: str) -> list[dict[str, Any]]:
    return [one.spec for one in specs.read(text, project="default")]


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
    assert read(f"pipeline: {{name: a}}\nx: {text}\n") == [{**named("a"), "x": value}]


@pytest.mark.parametrize("text", ["012", "0x1F", "0o17", "+5", "1_000"])
def test_only_plain_decimal_integers(text: str) -> None:
    with pytest.raises(Invalid, match=f'integer value "{text.replace("+", "[+]")}" does not match regexp'):
        read(f"pipeline: {{name: a}}\nx: {text}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: *x\n", "malformed pipeline spec: aliases"),
        ("pipeline: {name: a}\nx: 2020-01-01\n", "malformed pipeline spec: 2020-01-01"),
        ("pipeline: {name: a}\nx: !!binary aGk=\n", "malformed pipeline spec: tag"),
        ("a: [\n", "malformed pipeline spec: .*: line 2 column 1$"),
        ('{"a": 1\n "b": 2}', "malformed pipeline spec: Expecting ',' delimiter: line 2 column 2"),
        ("12: x\n", "malformed pipeline spec: keys"),
        ("- 3\n", "malformed pipeline spec: expected a mapping"),
        ("words\n", "expected a mapping or a sequence"),
        ("transform: {}\n", "no `pipeline` specified"),
        ("pipeline: {}\n", "no pipeline `name` specified"),
        ("pipeline: {name: a}\nupdate: 1\n", "update must be a boolean"),
        ("pipeline: {name: a}\ndryRun: x\n", "dryRun must be a boolean"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read(text)


def test_schema_keys_go_and_nulls_stay() -> None:
    text = '{"$schema": "s", "pipeline": {"name": "a", "$schema": "s"}, "resourceRequests": null}'
    assert read(text) == [{**named("a"), "resourceRequests": None}]


def test_the_project_is_filled_in_only_where_none_is_said() -> None:
    text = "pipeline: {name: a}\n---\npipeline: {name: b, project: {name: q}}\n"
    assert [one.spec for one in specs.read(text, project="p")] == [named("a", "p"), named("b", "q")]


def test_what_the_file_says_about_its_creation_is_taken_out() -> None:
    (found,) = specs.read("pipeline: {name: a}\nupdate: true\ndry_run: false\n", project="default")
    assert (found.update, found.reprocess, found.dry_run) == (True, None, False)
    assert found.spec == named("a")
    assert found.name == "a"


def test_check_names_the_field_that_is_wrong() -> None:
    with pytest.raises(Invalid, match=r"could not unmarshal .* as CreatePipelineRequest: .*trasnform"):
        specs.check({**named("a"), "trasnform": {}})
    with pytest.raises(Invalid, match="could not unmarshal"):
        specs.check({**named("a"), "datumTries": "many"})
    assert specs.check({**named("a"), "parallelismSpec": {"constant": "5"}, "input": None}).pipeline.name == "a"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("ubuntu", "specify a tag"),
        ("localhost:5000/ubuntu", "specify a tag"),
        ("ubuntu:latest", "do not specify the ':latest' tag"),
    ],
)
def test_images_that_may_change(image: str, words: str) -> None:
    (warning,) = specs.warnings({"transform": {"cmd": ["cp"], "image": image}})
    assert words in warning


def test_images_that_do_not() -> None:
    assert not list(specs.warnings({"transform": {"cmd": ["cp"], "image": "localhost:5000/ubuntu:22.04"}}))
    assert not list(specs.warnings({"transform": {"cmd": ["cp"]}}))


@pytest.mark.parametrize("spec", [{}, {"transform": {"image": "a:1"}}, {"transform": {"cmd": []}}, {"transform": None}])
def test_a_spec_without_a_program_is_warned_about(spec: dict[str, Any]) -> None:
    (warning,) = specs.warnings(spec)
    assert "no transform.cmd" in warning
