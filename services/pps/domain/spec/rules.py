"""What a spec must be beside its input tree; every mistake is found at once.

Elsewhere: the kinds of pipelines (kinds.py); inputs (input_rules.py); secrets (secrets.py); what is too large
(sizes.py); names and targets that PFS judges (peers/repos.py).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from services.pps.domain.errors import BadSpec
from services.pps.domain.names import PipelineKey, check_name
from services.pps.domain.spec import resources, sizes

REPROCESS = ("until_success", "every_job")
FORMATS = ("CSV", "JSON", "PARQUET")
PATCHES: Mapping[str, tuple[str, type, str]] = {
    "podSpec": ("PodSpec", dict, "an object"),
    "podPatch": ("PodPatch", list, "a list of changes"),
}


def mistakes(spec: Mapping[str, Any], key: PipelineKey) -> Iterator[str]:
    """Sentence by sentence. `spec` is completed."""
    try:
        check_name(key)
    except BadSpec as bad:
        yield str(bad)
    if spec.get("tfJob"):
        yield "embedding TFJobs in pipelines is not supported yet"
    if not spec.get("transform"):
        yield "pipeline must specify a transform"
    if spec["reprocessSpec"] not in REPROCESS:
        yield "ReprocessSpec must be one of 'until_success' or 'every_job'"
    yield from _variables(spec.get("transform") or {})
    yield from _patches(spec)
    yield from _tolerations(spec)
    yield from _numbers(spec)
    yield from resources.mistakes(spec)
    yield from sizes.mistakes(spec)
    yield from _egress(spec.get("egress") or {})


def _variables(transform: Mapping[str, Any]) -> Iterator[str]:
    for name in transform.get("env") or {}:
        if not name or "=" in name or "\0" in name:
            yield f"transform.env: {name!r} cannot be the name of a variable"


def _patches(spec: Mapping[str, Any]) -> Iterator[str]:
    for field, (title, kind, wanted) in PATCHES.items():
        try:
            found = json.loads(spec.get(field) or "null")
        except (ValueError, RecursionError) as error:
            yield f"malformed {title}: {error}"
        else:
            if found is not None and not isinstance(found, kind):
                yield f"malformed {title}: it must be {wanted}"


def _tolerations(spec: Mapping[str, Any]) -> Iterator[str]:
    listed = spec.get("tolerations") or ()
    for at, toleration in enumerate(listed, 1):
        if toleration.get("operator", "EMPTY") == "EMPTY":
            said = "cannot omit key/value comparison operator; specify EQUAL or EXISTS"
            yield f"toleration {at}/{len(listed)}: {said}"


def _numbers(spec: Mapping[str, Any]) -> Iterator[str]:
    if int(spec.get("datumTries") or 0) < 0:
        yield "datumTries must not be negative"
    sets = spec.get("datumSetSpec") or {}
    for field in ("number", "sizeBytes", "perWorker"):
        if int(sets.get(field) or 0) < 0:
            yield f"datumSetSpec.{field} must not be negative"


def _egress(egress: Mapping[str, Any]) -> Iterator[str]:
    targets = [name for name in ("URL", "objectStorage", "sqlDatabase") if egress.get(name)]
    if len(targets) > 1:
        yield f"egress can have one target, not {' and '.join(targets)}"
    if "sqlDatabase" not in egress:
        return
    target = egress["sqlDatabase"] or {}
    if not target.get("url"):
        yield "egress.sql_database.url is required"
    elif "://" not in target["url"]:
        yield f"egress.sql_database.url: {target['url']!r} is no URL such as postgres://user@host:5432/database"
    if (target.get("fileFormat") or {}).get("type") not in FORMATS:
        yield f"egress.sql_database.file_format.type must be one of {', '.join(FORMATS)}"
    secret = target.get("secret")
    if secret is None:
        yield "egress.sql_database.secret is required"
    elif not (secret.get("name") and secret.get("key")):
        yield "egress.sql_database.secret.name and egress.sql_database.secret.key are required"
