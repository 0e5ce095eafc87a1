"""What a spec must be beside its inputs: every mistake at once, each by its own sentence."""

import subprocess
import sys
from typing import Any

import pytest

from services.pps.domain.errors import BadSpec
from services.pps.domain.names import PipelineKey
from services.pps.domain.spec import specs
from services.pps.domain.spec.merge import BUILT_IN, effective, merged
from services.pps.domain.spec.resources import quantity
from services.pps.servicers.specs.reader import read_defaults

KEY = PipelineKey("default", "edges")


def mistakes(**fields: Any) -> list[str]:
    spec = specs.completed(merged(BUILT_IN, {"transform": {"cmd": ["true"]}, **fields}), KEY)
    try:
        specs.check(spec, KEY)
    except BadSpec as bad:
        return str(bad).splitlines()
    return []


def sql(**fields: Any) -> dict[str, Any]:
    return {"egress": {"sqlDatabase": fields}}


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0), ("1000", 1000), ("1k", 1000), ("256M", 256e6), ("256Mi", 2**28), ("1.5Gi", 1.5 * 2**30),
        (".5G", 5e8), ("100m", 0.1), ("1e3", 1000), ("1E3", 1000), ("1E", 1e18), ("+2T", 2e12),
    ],
)  # fmt: skip
def test_quantities(text: str, amount: float) -> None:
    assert quantity(text) == pytest.approx(amount)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("256MB", 'did you mean "256M"?'), ("1gb", 'did you mean "1G"?'), ("2GiB", 'did you mean "2Gi"?'),
        ("3 Gi", "such as"), ("-1", "such as"), ("", "such as"), ("lots", "such as"), ("1X", "units are"),
        ("1.2.3", "such as"),
    ],
)  # fmt: skip
def test_what_is_no_quantity(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match="is no quantity") as caught:
        quantity(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"resourceRequests": {"memory": "256MB"}}, 'resourceRequests.memory: "256MB" is no quantity; did you mean'),
        ({"sidecarResourceLimits": {"disk": "x"}}, 'sidecarResourceLimits.disk: "x" is no quantity such as'),
        ({"resourceLimits": {"cpu": -1}}, "resourceLimits.cpu must not be negative"),
        ({"resourceLimits": {"gpu": {"number": "1"}}}, "resourceLimits.gpu.type must say which"),
        ({"transform": {"cmd": ["a"], "env": {"A=B": "1"}}}, "transform.env: 'A=B' cannot be the name of a variable"),
        ({"transform": {"cmd": ["a"], "env": {"": "1"}}}, "transform.env: '' cannot be the name of a variable"),
        (
            {"transform": {"cmd": ["a"], "env": {"BIG": "x" * 300_000}}},
            "transform.env: BIG and its value have 300,004 bytes; the system takes at most 131,071 in one variable",
        ),
        (
            {"transform": {"cmd": ["a"], "env": {"B": "ä" * 65_535}}},
            "transform.env: B and its value have 131,072 bytes",
        ),
        ({"transform": {"cmd": ["sh", "-c", "x" * 131_072]}}, "transform.cmd[2] has 131,072 bytes; the system takes"),
        ({"transform": {"cmd": ["a"], "errCmd": ["x" * 131_072]}}, "transform.errCmd[0] has 131,072 bytes"),
        (
            {"transform": {"cmd": ["a"], "env": {f"V{n}": "x" * 100_000 for n in range(11)}}},
            "transform.cmd and transform.env take 1,100,143 bytes together; at most 1,048,576 go",
        ),
        (
            {"metadata": {"labels": {"a": "x" * 200_000}, "annotations": {"b": "x" * 100_000}}},
            "metadata: labels and annotations have 300,002 bytes together; at most 262,144 are taken",
        ),
        ({"podSpec": "[]"}, "malformed PodSpec: it must be an object"),
        ({"podPatch": "{}"}, "malformed PodPatch: it must be a list"),
        (sql(url="postgres://h/d", fileFormat={"type": "CSV"}), "egress.sql_database.secret is required"),
        (
            sql(secret={"name": "s"}),
            "egress.sql_database.secret.name and egress.sql_database.secret.key are required",
        ),
        ({"input": {"pfs": {"repo": "a", "glob": "/", "branch": "a b"}}}, "name (a b) invalid: only alphanumeric"),
        (sql(url="x"), "egress.sql_database.url: 'x' is no URL"),
        (sql(fileFormat={"type": "UNKNOWN"}), "egress.sql_database.file_format.type must be one of"),
    ],
)
def test_mistakes(fields: dict[str, Any], wanted: str) -> None:
    assert any(one.startswith(wanted) for one in mistakes(**fields)), mistakes(**fields)


def test_what_is_right() -> None:
    assert mistakes(resourceRequests={}, resourceLimits={"cpu": 0.5, "memory": "1Gi", "disk": ""}, podPatch="[]") == []
    word, variables = "x" * 131_071, {"A": "x" * (131_071 - 2)}
    assert mistakes(transform={"cmd": [word], "env": variables}) == [], "which the system takes"
    script = "import sys; print(len(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, word], env=variables, check=True, capture_output=True)


def test_all_at_once() -> None:
    found = mistakes(
        transform=None, tfJob={"tfJob": "x"}, reprocessSpec="x", podSpec="{", podPatch="{", datumTries="-1",
        tolerations=[{}, {"operator": "EXISTS"}, {}], datumSetSpec={"number": "-1", "perWorker": "-2"},
        resourceLimits={"memory": "1GB"}, input={"pfs": {"repo": "out"}}, spout={}, s3Out=True,
    )  # fmt: skip
    assert len(found) == 15
    assert found[:3] == [
        "embedding TFJobs in pipelines is not supported yet",
        "pipeline must specify a transform",
        "ReprocessSpec must be one of 'until_success' or 'every_job'",
    ]


def test_layers_of_defaults() -> None:
    """null takes away what earlier layers gave, also what is built in; maps keep their keys as they are."""
    cluster = read_defaults('{"create_pipeline_request": {"datum_tries": 5, "transform": {"env": {"a_b": "1"}}}}')
    project = read_defaults('{"createPipelineRequest": {"datumTries": null, "transform": {"env": {"c": "2"}}}}')
    assert effective(cluster, project, {"transform": {"image": None}}) == {
        "outputBranch": "master",
        "reprocessSpec": "until_success",
        "transform": {"env": {"a_b": "1", "c": "2"}},
    }
    assert effective(cluster, {}, {"transform": None, "datumTries": "2"})["datumTries"] == "2"
