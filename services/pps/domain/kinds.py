"""Kinds of pipelines: which there are, and what each has.

A transform turns every change of its inputs into a job. A service has jobs, too, but the process that each starts goes
on until the next one. A spout runs once, has no jobs, and commits what it finds by itself.
Elsewhere: what a spec must be in all other respects (specs.py); running them (services/worker).
"""

from enum import IntEnum
from typing import Any

from services.pps.domain.errors import BadSpec

SERVICE_TYPES = ("ClusterIP", "LoadBalancer", "NodePort")


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


def check_kind(spec: dict[str, Any]) -> None:
    """Raises BadSpec for what a kind of pipeline cannot have."""
    kind = kind_of(spec)
    if kind is Kind.TRANSFORM:
        return
    if spec.get("s3Out"):
        raise BadSpec("s3 output is not supported in spouts or services")
    service = endpoint(spec)
    if kind is Kind.SPOUT:
        if spec.get("autoscaling"):
            raise BadSpec("autoscaling can't be used with spouts")
        if spec.get("input") and service is None:
            raise BadSpec("spout pipelines (without a service) must not have an input")
    elif "parallelismSpec" in spec and int((spec["parallelismSpec"] or {}).get("constant") or 0) != 1:
        raise BadSpec("services can only be run with a constant parallelism of 1")
    if service is not None and (type := service.get("type") or "NodePort") not in SERVICE_TYPES:
        raise BadSpec(f"the following service type {type} is not allowed")


def endpoint(spec: dict[str, Any]) -> dict[str, Any] | None:
    """The network service of a service, or of a spout that has one."""
    found: dict[str, Any] | None = (spec.get("spout") or {}).get("service") or spec.get("service")
    return found
