"""What a secret is, how one is read from its document, and which ones a spec refers to.

A document is a Kubernetes Secret as JSON: that is what deployed clients send. Values never appear in an error.
Elsewhere: how values are kept (storage/sealing.py); how they get to workers (servicers/secrets.py).
"""

import base64
import binascii
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.pps.domain.errors import BadSecret, BadSpec
from services.pps.domain.spec import sizes

SUITE = "pachyderm"
SOURCE = "pachyderm-user"
MOST_BYTES = 1 << 20
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
NAME_RULE = "a name is made of lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit"
KEPT_BY_RUNTIME = ("/pfs", "/proc", "/dev", "/sys")


@dataclass(frozen=True, slots=True)
class Secret:
    """Values are left out where a secret is shown."""

    name: str
    type: str
    labels: Mapping[str, str]
    values: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """What anybody may know of a secret."""

    name: str
    type: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Mount:
    """How a transform uses a secret: key as a variable, all keys as files, or both."""

    name: str
    key: str
    variable: str
    path: str


def parse(document: bytes) -> Secret:
    """Raises BadSecret."""
    try:
        made = json.loads(document)
    except (ValueError, RecursionError):
        raise BadSecret("failed to unmarshal secret: it is not JSON") from None  # its text may hold values
    if not isinstance(made, dict):
        raise BadSecret("failed to unmarshal secret: it is not an object")
    kind, version = made.get("kind") or "Secret", made.get("apiVersion") or "v1"
    if (kind, version) != ("Secret", "v1"):
        raise BadSecret("failed to unmarshal secret: kind must be Secret and apiVersion must be v1")
    metadata = _object(made, "metadata")
    labels = _texts(metadata, "labels")
    if labels.get("suite", SUITE) != SUITE:
        raise BadSecret(f"invalid suite label set on secret: suite={labels['suite']}")
    name = metadata.get("name")
    if not isinstance(name, str) or len(name) > 253 or not _NAME.fullmatch(name):
        raise BadSecret(f"failed to create secret: metadata.name: {NAME_RULE}")
    values = _data(made) | {key: text.encode() for key, text in _texts(made, "stringData").items()}
    _check_values(name, values)
    kind_of = made.get("type") or "Opaque"
    if not isinstance(kind_of, str):
        raise BadSecret("failed to unmarshal secret: type must be a string")
    return Secret(name, kind_of, {**labels, "suite": SUITE, "secret-source": SOURCE}, values)


def _object(made: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = made.get(name) or {}
    if not isinstance(found, dict):
        raise BadSecret(f"failed to unmarshal secret: {name} must be an object")
    return found


def _texts(made: Mapping[str, Any], name: str) -> dict[str, str]:
    found = _object(made, name)
    for key, text in found.items():
        if not isinstance(text, str):
            raise BadSecret(f"failed to unmarshal secret: {name}.{key} must be a string")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadSecret(f"failed to unmarshal secret: {name}.{key} is not valid Unicode") from None
    return found


def _data(made: Mapping[str, Any]) -> dict[str, bytes]:
    values = dict[str, bytes]()
    for key, text in _texts(made, "data").items():
        try:
            values[key] = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise BadSecret(f"failed to unmarshal secret: data.{key} is not base64") from None
    return values


def _check_values(name: str, values: Mapping[str, bytes]) -> None:
    for key in values:
        if not _KEY.fullmatch(key) or key in (".", ".."):
            raise BadSecret(
                f"failed to create secret: key {key!r} of secret {name}: a key is made of letters, digits, '-', '_'"
                " and '.'"
            )
    if sum(map(len, values.values())) > MOST_BYTES:
        raise BadSecret(f"failed to create secret: the values of secret {name} are longer than {MOST_BYTES} bytes")


def mounts(spec: Mapping[str, Any]) -> list[Mount]:
    """What a spec's transform wants, in the order of the spec."""
    wanted = (spec.get("transform") or {}).get("secrets") or ()
    return [
        Mount(one.get("name") or "", one.get("key") or "", one.get("envVar") or "", one.get("mountPath") or "")
        for one in wanted
    ]


def named(spec: Mapping[str, Any]) -> set[str]:
    """Every secret that a spec names: in its transform, or for its egress."""
    egress = ((spec.get("egress") or {}).get("sqlDatabase") or {}).get("secret") or {}
    return {one.name for one in mounts(spec)} | ({egress["name"]} if egress.get("name") else set())


def folders(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the files of secrets go: absolute, each once."""
    return tuple(sorted({posixpath.normpath("/" + one.path.lstrip("/")) for one in mounts(spec) if one.path}))


def check(wanted: Sequence[Mount], have: Mapping[str, Mapping[str, bytes]]) -> None:
    """Raises BadSpec with the first thing that is missing. have: the values of each secret that there is."""
    for complaint in complaints(wanted, have):
        raise BadSpec(complaint)


def complaints(wanted: Sequence[Mount], have: Mapping[str, Mapping[str, bytes]]) -> Iterator[str]:
    """What is missing, or cannot be, one sentence each."""
    room = sizes.OF_SECRETS
    for number, one in enumerate(wanted):
        if not one.name:
            yield f"transform.secrets[{number}] must have the name of a secret"
        elif one.variable and not one.key:
            yield f"secret {one.name} has env_var set but is missing key"
        elif one.name not in have:
            yield f"missing Kubernetes secret {one.name}"
        elif one.variable and one.key not in have[one.name]:
            yield f"Kubernetes secret {one.name} missing key {one.key}"
        elif one.variable and ("=" in one.variable or "\0" in one.variable):
            yield f"transform.secrets[{number}].envVar: the name of a variable cannot hold '='"
        elif one.variable and (why := _no_variable(one, have[one.name][one.key])):
            yield f"transform.secrets[{number}].envVar: {why}"
        elif one.path and (why := _unmountable(one.path)):
            yield f"transform.secrets[{number}].mountPath {one.path!r}: {why}"

        if one.variable and one.key in have.get(one.name, ()):
            room -= len(one.variable) + len(have[one.name][one.key]) + sizes.PER_WORD
    if room < 0:
        yield f"the secrets of transform.secrets take more than {sizes.OF_SECRETS:,} bytes as variables: mount some"


def _no_variable(one: Mount, value: bytes) -> str:
    """The sentence holds nothing of the value."""
    if b"\0" in value:
        return f"the value of key {one.key} of secret {one.name} holds a zero byte: mount it"
    return sizes.too_long(one.variable, len(value))


def _unmountable(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
        return "must be absolute and must not contain '..'"
    plain = posixpath.normpath("/" + path.lstrip("/"))
    if plain == "/" or any(plain == kept or plain.startswith(f"{kept}/") for kept in KEPT_BY_RUNTIME):
        return "files cannot be laid there"
    return ""
