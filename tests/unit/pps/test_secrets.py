"""Secrets: what documents are accepted, what a transform may ask for, and that what is kept cannot be read or moved."""

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.config import ConfigError
from services.pps.domain import secrets
from services.pps.domain.errors import BadSecret, BadSpec
from services.pps.storage.sealing import CannotOpen, Keyring, keyring

VALUE = "correct horse battery"
HAVE = {"password": VALUE.encode(), "large": b"x" * (131_071 - 1), "raw": b"a\0b", "fits": b"x" * (131_071 - 2)}


def document(**more: Any) -> bytes:
    made = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "db"}, "stringData": {"password": VALUE}}
    return json.dumps({**made, **more}).encode()


def test_a_document_gives_its_values_type_and_labels() -> None:
    data = {"user": base64.b64encode(b"\x00raw").decode(), "password": base64.b64encode(b"old").decode()}
    found = secrets.parse(document(data=data, metadata={"name": "db", "labels": {"team": "a"}}))
    assert found.values == {"user": b"\x00raw", "password": VALUE.encode()}, "stringData wins"
    assert (found.name, found.type) == ("db", "Opaque")
    assert found.labels == {"team": "a", "suite": "pachyderm", "secret-source": "pachyderm-user"}
    assert secrets.parse(document(type="kubernetes.io/basic-auth")).type == "kubernetes.io/basic-auth"
    assert VALUE not in repr(found)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (b"{" + VALUE.encode(), "failed to unmarshal secret"),
        (b"[]", "failed to unmarshal secret"),
        (document(kind="Pod"), "failed to unmarshal secret"),
        (document(data={"a": "*" + VALUE}), "failed to unmarshal secret: data.a"),
        (document(stringData={"a": 1}), "failed to unmarshal secret"),
        (document(metadata=[VALUE]), "failed to unmarshal secret"),
        (document(metadata={"name": "db", "labels": {"suite": "x"}}), "invalid suite label set on secret: suite=x"),
        (document(metadata={}), "failed to create secret: metadata.name"),
        (document(metadata={"name": "../up"}), "failed to create secret: metadata.name"),
        (document(stringData={"a/b": VALUE}), "failed to create secret: key 'a/b'"),
        (document(stringData={"..": VALUE}), "failed to create secret: key '..'"),
        (document(stringData={"a": "x" * (1 << 20) + "x"}), "longer than 1048576 bytes"),
        (document(stringData={"a": "\ud800"}), "failed to unmarshal secret"),
    ],
)
def test_a_wrong_document_is_refused_without_its_values(wrong: bytes, words: str) -> None:
    with pytest.raises(BadSecret) as refused:
        secrets.parse(wrong)
    assert words in str(refused.value)
    assert VALUE not in str(refused.value)


@given(st.binary(max_size=60) | st.recursive(st.text() | st.none(), lambda inner: st.dictionaries(
    st.sampled_from(["kind", "metadata", "name", "data", "labels", "type", "stringData"]), inner)).map(
        lambda made: json.dumps(made).encode()))  # fmt: skip
def test_any_document_is_a_secret_or_refused(made: bytes) -> None:
    try:
        secrets.parse(made)
    except BadSecret:
        return


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"name": "db", "envVar": "A"}, "secret db has env_var set but is missing key"),
        ({"name": "no", "envVar": "A", "key": "k"}, "missing Kubernetes secret no"),
        ({"name": "no", "mountPath": "/s"}, "missing Kubernetes secret no"),
        ({"name": "db", "envVar": "A", "key": "k"}, "Kubernetes secret db missing key k"),
        ({"name": "db", "envVar": "A", "key": "large"}, "A and its value have 131,072 bytes; .* at most 131,071"),
        ({"name": "db", "envVar": "A", "key": "raw"}, "key raw of secret db holds a zero byte"),
        ({"name": "db", "mountPath": "s"}, "must be absolute"),
        ({"name": "db", "mountPath": "/s/../pfs"}, "must be absolute"),
        ({"name": "db", "mountPath": "/pfs/out"}, "files cannot be laid there"),
        ({"name": "db", "mountPath": "//"}, "files cannot be laid there"),
    ],
)
def test_what_a_transform_cannot_have(mount: dict[str, str], words: str) -> None:
    with pytest.raises(BadSpec, match=words):
        secrets.check(secrets.mounts({"transform": {"secrets": [mount]}}), {"db": HAVE})


def test_what_a_transform_can_have() -> None:
    spec = {
        "transform": {"secrets": [
            {"name": "db", "mountPath": "/s/", "key": "unused"},
            {"name": "db", "envVar": "A", "key": "password", "mountPath": "/s"},
            {"name": "db", "envVar": "B", "key": "fits"},
        ]},
        "egress": {"sqlDatabase": {"secret": {"name": "sql", "key": "K"}}},
    }  # fmt: skip
    secrets.check(secrets.mounts(spec), {"db": HAVE})
    assert secrets.folders(spec) == ("/s",)
    assert secrets.named(spec) == {"db", "sql"}


def test_secrets_together_may_be_too_large() -> None:
    many = [{"name": "db", "envVar": f"A{number}", "key": "fits"} for number in range(4)]
    with pytest.raises(BadSpec, match="more than 524,288 bytes as variables"):
        secrets.check(
            secrets.mounts({"transform": {"secrets": [*many, {"name": "db", "mountPath": "/s"}]}}),
            {"db": {**HAVE, "fits": b"x" * 131_060 + b"y" * 8}},
        )


def test_what_is_sealed_opens_under_its_own_name_and_key_only() -> None:
    old, new = os.urandom(32), os.urandom(32)
    sealed = Keyring([old]).seal("db", VALUE.encode())
    assert VALUE.encode() not in sealed
    assert sealed != Keyring([old]).seal("db", VALUE.encode()), "equal values must not be seen to be equal"
    both = Keyring([new, old])
    assert both.open("db", sealed) == VALUE.encode()
    assert not both.is_newest(sealed)
    assert both.is_newest(both.seal("db", b""))
    for name, wrong in (("other", sealed), ("db", sealed[:-1]), ("db", sealed[:-1] + b"?"), ("db", b"")):
        with pytest.raises(CannotOpen):
            both.open(name, wrong)
    with pytest.raises(CannotOpen, match="a key that this instance does not have"):
        Keyring([new]).open("db", sealed)


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "pps" / "secrets.key"
    sealed = keyring("", file).seal("db", b"x")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keyring("", file).open("db", sealed) == b"x"
    assert list(file.parent.iterdir()) == [file]
    fresh = base64.b64encode(os.urandom(32)).decode()
    file.write_text(f"{fresh}\n{file.read_text()}")
    rotated = keyring("", file)
    assert rotated.open("db", sealed) == b"x"
    assert not rotated.is_newest(sealed)


@pytest.mark.parametrize("setting", ["short", base64.b64encode(b"x" * 31).decode(), "é" * 44])
def test_a_wrong_key_is_refused_without_being_shown(setting: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        keyring(setting, tmp_path / "none")
    assert setting not in str(refused.value)
    assert "PPS_SECRETS_KEY" in str(refused.value)
