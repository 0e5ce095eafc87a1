"""What a whole spec must be, and what of it this version does not do yet.

A spec is the canonical JSON of CreatePipelineRequest (camelCase keys, known fields, right types), defaults merged.
Elsewhere: reading a document into that form (servicers/spec_reader.py); the input tree (inputs.py).
"""

import json
from typing import Any

from services.pps.domain import input_rules, inputs
from services.pps.domain.errors import BadSpec, NotBuiltYet
from services.pps.domain.kinds import Kind, check_kind, kind_of
from services.pps.domain.merge import BUILT_IN
from services.pps.domain.names import PipelineKey, check_name

Spec = dict[str, Any]
REPROCESS = ("until_success", "every_job")


def completed(spec: Spec, key: PipelineKey) -> Spec:
    """The spec as it is stored and run: input defaults filled in, request-only fields dropped."""
    kept = {name: value for name, value in spec.items() if name not in ("update", "reprocess", "dryRun")}
    for name in ("outputBranch", "datumTries", "reprocessSpec"):  # "" and 0 mean the same as not given
        if kept.get(name) in (None, "", "0"):
            kept[name] = BUILT_IN[name]
    if kept.get("input"):
        kept["input"] = inputs.with_defaults(kept["input"], key)
    transform = dict(kept.get("transform") or {})
    if transform and not transform.get("image"):
        transform["image"] = BUILT_IN["transform"]["image"]
    return {**kept, "pipeline": {"name": key.name, "project": {"name": key.project}}, "transform": transform or None}


def check(spec: Spec, key: PipelineKey) -> None:
    """Raises BadSpec for what can never be, NotBuiltYet for what is not done yet. `spec` is completed."""
    check_name(key)
    if spec.get("tfJob"):
        raise BadSpec("embedding TFJobs in pipelines is not supported yet")
    if not spec.get("transform"):
        raise BadSpec("pipeline must specify a transform")
    if spec["reprocessSpec"] not in REPROCESS:
        raise BadSpec("ReprocessSpec must be one of 'until_success' or 'every_job'")
    check_kind(spec)
    _check_patches(spec)
    _check_tolerations(spec)
    if later := unsupported(spec):
        raise NotBuiltYet(later)
    if spec.get("input") is not None:
        input_rules.check(spec["input"], key)
    _check_numbers(spec)


def _check_patches(spec: Spec) -> None:
    for field, title in (("podSpec", "PodSpec"), ("podPatch", "PodPatch")):
        try:
            json.loads(spec.get(field) or "{}")
        except ValueError as error:
            raise BadSpec(f"malformed {title}: {error}") from error


def _check_tolerations(spec: Spec) -> None:
    bad = [
        f"toleration {at + 1}/{len(spec['tolerations'])}: cannot omit key/value comparison operator; "
        "specify EQUAL or EXISTS"
        for at, toleration in enumerate(spec.get("tolerations") or ())
        if toleration.get("operator", "EMPTY") == "EMPTY"
    ]
    if bad:
        raise BadSpec("\n".join(bad))


def _check_numbers(spec: Spec) -> None:
    if int(spec.get("datumTries") or 0) < 0:
        raise BadSpec("datumTries must not be negative")
    sets = spec.get("datumSetSpec") or {}
    for field in ("number", "sizeBytes", "perWorker"):
        if int(sets.get(field) or 0) < 0:
            raise BadSpec(f"datumSetSpec.{field} must not be negative")


def unsupported(spec: Spec) -> list[str]:
    """The parts of the spec that this version does not do, by name."""
    found: list[str] = [field for field in ("service", "specCommit") if field in spec]
    found += ["egress.sqlDatabase"] if (spec.get("egress") or {}).get("sqlDatabase") is not None else []
    found += ["spout.service"] if (spec.get("spout") or {}).get("service") is not None else []
    found += [field for field in ("s3Out", "autoscaling") if spec.get(field)]
    if float((spec.get("maximumExpectedUptime") or "0s").rstrip("s")) > 0:
        found.append("maximumExpectedUptime")  # it bounds how long an autoscaling pipeline may be out of standby
    for tree in _all(spec.get("input") or {}):
        leaf = tree.get("pfs") or {}
        found += [f"input.pfs.{field}" for field in ("s3", "lazy") if leaf.get(field)]
    return list(dict.fromkeys(found))


def _all(tree: inputs.Tree) -> list[inputs.Tree]:
    return [tree] + [one for kind in inputs.COMBINING for child in tree.get(kind) or () for one in _all(child)]


def parallelism(spec: Spec) -> int:
    """How many workers are wanted."""
    if kind_of(spec) is not Kind.TRANSFORM:
        return 1  # there is one process, however many are asked for
    return int((spec.get("parallelismSpec") or {}).get("constant") or 1)


def salt_for(spec: Spec, *, old: str | None, reprocess: bool, fresh: str) -> str:
    """A new pipeline's own salt if it gives one; an update keeps the old one, unless everything is to run again."""
    if old is None:
        return str(spec.get("salt") or fresh)
    return fresh if reprocess else old
