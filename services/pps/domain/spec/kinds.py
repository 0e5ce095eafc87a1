"""Kinds of pipelines: which there are, and what each has.

A transform turns every change of its inputs into a job. A service has jobs, too, but the process that each starts goes
on until the next one. A spout runs once, has no jobs, and commits what it finds by itself.
Elsewhere: what a spec must be in all other respects (specs.py); running them (services/worker).
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

PORTS, MOST_PORT = ("internalPort", "externalPort"), 65535
USUAL_TYPE = "NodePort"
SERVICE_TYPES = ("ClusterIP", "LoadBalancer", USUAL_TYPE)


class Kind(IntEnum):
    """Numbers are those of the protocol."""

    TRANSFORM = 1
    SPOUT = 2
    SERVICE = 3


def kind_of(spec: dict[str, Any]) -> Kind:
    """What a spec makes of its pipeline. A spout may have a service, a service is no spout."""
    if spec.get("spout") is not None:
        return Kind.SPOUT
    return Kind.TRANSFORM if spec.get("service") is None else Kind.SERVICE


def with_defaults(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec with the type of its network service, if it has one."""
    filled = dict(spec)
    if spec.get("service") is not None:
        filled["service"] = _typed(spec["service"])
    if (spec.get("spout") or {}).get("service") is not None:
        filled["spout"] = {**spec["spout"], "service": _typed(spec["spout"]["service"])}
    return filled


def _typed(service: dict[str, Any]) -> dict[str, Any]:
    return {**service, "type": service.get("type") or USUAL_TYPE}


def mistakes(spec: dict[str, Any]) -> Iterator[str]:
    """What a kind of pipeline cannot have."""
    kind, service = kind_of(spec), endpoint(spec)
    if kind is not Kind.TRANSFORM and spec.get("s3Out"):
        yield "s3 output is not supported in spouts or services"
    if kind is Kind.SPOUT and spec.get("autoscaling"):
        yield "autoscaling can't be used with spouts"
    if kind is Kind.SPOUT and spec.get("input") and service is None:
        yield "spout pipelines (without a service) must not have an input"
    constant = int((spec.get("parallelismSpec") or {}).get("constant") or 0)
    if kind is Kind.SERVICE and "parallelismSpec" in spec and constant != 1:
        yield "services can only be run with a constant parallelism of 1"
    if service is not None and (type := service.get("type") or USUAL_TYPE) not in SERVICE_TYPES:
        yield f"the following service type {type} is not allowed"
    for field in PORTS:
        if not 0 <= (port := int((service or {}).get(field) or 0)) <= MOST_PORT:
            yield f"service.{field} must be a port, 1 to {MOST_PORT}, not {port}"


def endpoint(spec: dict[str, Any]) -> dict[str, Any] | None:
    """The network service of a service, or of a spout that has one."""
    found: dict[str, Any] | None = (spec.get("spout") or {}).get("service") or spec.get("service")
    return found


def autoscales(spec: dict[str, Any]) -> bool:
    """Whether a pipeline has workers only while there is work. A service always has its one: somebody may call it."""
    return bool(spec.get("autoscaling")) and kind_of(spec) is Kind.TRANSFORM
