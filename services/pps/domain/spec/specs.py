"""What a whole spec must be, and what of it this version does not do yet.

A spec is the canonical JSON of CreatePipelineRequest (camelCase keys, known fields, right types), defaults merged.
Elsewhere: reading a document into that form (servicers/specs/reader.py); the input tree (inputs.py); what is a mistake
(rules.py, kinds.py, input_rules.py).
"""

from typing import Any

from services.pps.domain.errors import NotBuiltYet, SpecMistakes
from services.pps.domain.names import PipelineKey
from services.pps.domain.spec import input_rules, inputs, kinds, rules
from services.pps.domain.spec.kinds import Kind, kind_of
from services.pps.domain.spec.merge import BUILT_IN

Spec = dict[str, Any]


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
    kept = kinds.with_defaults(kept)
    return {**kept, "pipeline": {"name": key.name, "project": {"name": key.project}}, "transform": transform or None}


def check(spec: Spec, key: PipelineKey) -> None:
    """Raises SpecMistakes for what can never be, NotBuiltYet for what is not done yet. `spec` is completed."""
    found = [*rules.mistakes(spec, key), *kinds.mistakes(spec)]
    if spec.get("input") is not None:
        found += input_rules.mistakes(spec["input"], key)
    if found:
        raise SpecMistakes(list(dict.fromkeys(found)))
    if later := unsupported(spec):
        raise NotBuiltYet(later)


def unsupported(spec: Spec) -> list[str]:
    """The parts of the spec that this version does not do, by name, and what to do instead."""
    found = list[str]()
    if "specCommit" in spec:
        found.append(
            "specCommit (give the whole spec: `datamill inspect pipeline NAME^1` has that of the version before)"
        )
    if spec.get("s3Out"):
        found.append("s3Out (there is no S3 gateway: user code writes files below /pfs/out)")
    if any((tree.get("pfs") or {}).get("s3") for tree in _all(spec.get("input") or {})):
        found.append("input.pfs.s3 (there is no S3 gateway: user code reads files below /pfs)")
    return found


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
