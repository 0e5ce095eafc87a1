"""How defaults and a user's spec become one: JSON merge patch (RFC 7396)."""

import json
from functools import reduce
from typing import Any

BUILT_IN: dict[str, Any] = {
    "transform": {"image": "ubuntu:20.04"},
    "outputBranch": "master",
    "datumTries": "3",
    "reprocessSpec": "until_success",
}
"""What a spec is when nobody says otherwise."""
_MODEST = {"cpu": 1, "memory": "256Mi", "disk": "1Gi"}
FRESH = json.dumps({"createPipelineRequest": {"resourceRequests": _MODEST, "sidecarResourceRequests": _MODEST}})
"""The cluster defaults of an installation where nobody has set any."""


def effective(*layers: dict[str, Any]) -> dict[str, Any]:
    """A spec from defaults and what the user wrote, the latter last; each canonical."""
    result: dict[str, Any] = without_nulls(reduce(merged, layers, BUILT_IN))
    return result


def merged(base: Any, patch: Any) -> Any:
    """`base` with `patch` over it: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def without_nulls(value: Any) -> Any:
    """The merged document with the nulls inside its lists gone; there, null has no meaning but "not given"."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value
