"""Which kind a spec makes of its pipeline, and what that kind cannot have."""

from typing import Any

import pytest

from services.pps.domain.spec.kinds import Kind, endpoint, kind_of, mistakes, with_defaults

INPUT = {"pfs": {"repo": "images", "glob": "/"}}


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({}, Kind.TRANSFORM),
        ({"spout": {}}, Kind.SPOUT),
        ({"service": {}}, Kind.SERVICE),
        ({"spout": {"service": {}}}, Kind.SPOUT),
    ],
)
def test_what_a_spec_makes(spec: dict[str, Any], kind: Kind) -> None:
    assert list(mistakes(spec)) == []
    assert kind_of(spec) is kind


def test_a_network_service_has_a_type() -> None:
    assert with_defaults({"service": {}}) == {"service": {"type": "NodePort"}}
    assert with_defaults({"spout": {"service": {"type": ""}}}) == {"spout": {"service": {"type": "NodePort"}}}
    kept: list[dict[str, Any]] = [{"spout": {}}, {"service": {"type": "ClusterIP", "ip": "x"}}, {"service": None}, {}]
    assert list(map(with_defaults, kept)) == kept


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"spout": {}, "input": INPUT}, "spout pipelines (without a service) must not have an input"),
        ({"spout": {}, "autoscaling": True}, "autoscaling can't be used with spouts"),
        ({"spout": {}, "s3Out": True}, "s3 output is not supported in spouts or services"),
        ({"service": {}, "s3Out": True}, "s3 output is not supported in spouts or services"),
        ({"service": {"type": "Ingress"}}, "the following service type Ingress is not allowed"),
        ({"spout": {"service": {"type": "x"}}}, "the following service type x is not allowed"),
        (
            {"service": {}, "parallelismSpec": {"constant": "2"}},
            "services can only be run with a constant parallelism of 1",
        ),
    ],
)
def test_what_a_kind_cannot_have(spec: dict[str, Any], text: str) -> None:
    assert list(mistakes(spec)) == [text]


def test_all_of_it_at_once() -> None:
    everything = {"spout": {}, "input": INPUT, "autoscaling": True, "s3Out": True}
    assert len(list(mistakes(everything))) == 3


def test_a_spout_may_have_an_endpoint() -> None:
    assert endpoint({"spout": {"service": {"internalPort": 80}}}) == {"internalPort": 80}
    assert endpoint({"service": {"internalPort": 81}}) == {"internalPort": 81}
    assert endpoint({"spout": {}}) is None
