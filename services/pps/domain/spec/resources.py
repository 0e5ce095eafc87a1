"""Amounts of processors, memory and disk as specs write them, such as 500Mi.

Source: the grammar of quantities in Kubernetes' API conventions, which specs have always used.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

FIELDS = ("resourceRequests", "resourceLimits", "sidecarResourceRequests", "sidecarResourceLimits")
SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
_QUANTITY = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([a-zA-Z]*|[eE][+-]?[0-9]+)")


def quantity(text: str) -> float:
    """Bytes, or pieces. Raises ValueError with what might have been meant."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is no quantity such as 500Mi, 2G or 1000')
    number, suffix = found.groups()
    if suffix in SUFFIXES:
        return float(number) * SUFFIXES[suffix]
    if re.fullmatch(r"[eE][+-]?[0-9]+", suffix):
        return float(number + suffix)
    near = suffix.removesuffix("B").removesuffix("b").capitalize()
    hint = (
        f'; did you mean "{number}{near}"?' if near in SUFFIXES else f"; units are {', '.join(filter(None, SUFFIXES))}"
    )
    raise ValueError(f'"{text}" is no quantity{hint}')


def mistakes(spec: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the resources of a spec."""
    for field in FIELDS:
        asked = spec.get(field) or {}
        if float(asked.get("cpu") or 0) < 0:
            yield f"{field}.cpu must not be negative"
        for part in ("memory", "disk"):
            try:
                quantity(asked.get(part) or "0")
            except ValueError as error:
                yield f"{field}.{part}: {error}"
        gpu = asked.get("gpu") or {}
        if int(gpu.get("number") or 0) < 0:
            yield f"{field}.gpu.number must not be negative"
        if int(gpu.get("number") or 0) > 0 and not gpu.get("type"):
            yield f'{field}.gpu.type must say which, for example "nvidia.com/gpu"'
