"""What a spec wants of the containers of its workers, in the words of runtimes.

Elsewhere: what may be written there (domain/spec/resources.py, domain/spec/rules.py).
"""

from collections.abc import Mapping
from typing import Any

from services.pps.domain.spec.kinds import endpoint
from services.pps.domain.spec.resources import quantity
from services.pps.runtimes.port import Container, Resources


def container_of(spec: Mapping[str, Any]) -> Container:
    """The container of a completed, checked spec."""
    transform, metadata, service = spec["transform"], spec.get("metadata") or {}, endpoint(dict(spec)) or {}
    return Container(
        image=transform.get("image") or "",
        user=transform.get("user") or "",
        pull_secrets=tuple(transform.get("imagePullSecrets") or ()),
        requests=_resources(spec.get("resourceRequests") or {}),
        limits=_resources(spec.get("resourceLimits") or {}),
        memory_volume=bool(transform.get("memoryVolume")),
        ports=(int(service.get("externalPort") or 0), int(service.get("internalPort") or 0)),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
    )


def _resources(asked: Mapping[str, Any]) -> Resources:
    gpu = asked.get("gpu") or {}
    return Resources(
        cpu=float(asked.get("cpu") or 0),
        memory_bytes=int(quantity(asked.get("memory") or "0")),
        disk_bytes=int(quantity(asked.get("disk") or "0")),
        gpus=(gpu.get("type") or "", int(gpu.get("number") or 0)),
    )
