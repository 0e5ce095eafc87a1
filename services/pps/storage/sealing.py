"""How values of secrets are kept: sealed with AES-256-GCM, under a key that is never in the database.

A sealed value is one byte of format, four that name the key, twelve of nonce, then ciphertext and tag. The secret's
name is authenticated with it, so that the values of one row are of no use in another.
Keys come from PPS_SECRETS_KEY, or from a file that is made at the first start, readable by its owner only. There may
be several, the first seals and all open: that is how one is replaced (README.md).
"""

import base64
import binascii
import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.kit.config import ConfigError

FORMAT = b"\x01"
KEY_BYTES, NAME_BYTES, NONCE_BYTES = 32, 4, 12
PURPOSE = b"datamill secret\0"


class CannotOpen(Exception):
    """Sealed under a key that is not here, or not what was sealed."""


class Keyring:
    """The keys of this instance."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {hashlib.sha256(PURPOSE + key).digest()[:NAME_BYTES]: AESGCM(key) for key in keys}
        self._newest = next(iter(self._ciphers))

    def seal(self, name: str, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return FORMAT + self._newest + nonce + self._ciphers[self._newest].encrypt(nonce, plain, _bound(name))

    def open(self, name: str, sealed: bytes) -> bytes:
        """Raises CannotOpen."""
        cipher = self._ciphers.get(_key_of(sealed))
        nonce, rest = sealed[5 : 5 + NONCE_BYTES], sealed[5 + NONCE_BYTES :]
        if cipher is None or sealed[:1] != FORMAT:
            raise CannotOpen("its values are sealed with a key that this instance does not have")
        try:
            return cipher.decrypt(nonce, rest, _bound(name))
        except (InvalidTag, ValueError) as error:
            raise CannotOpen("its values are damaged") from error

    def is_newest(self, sealed: bytes) -> bool:
        """Whether it is sealed with the key that seals now."""
        return _key_of(sealed) == self._newest


def _key_of(sealed: bytes) -> bytes:
    return sealed[1 : 1 + NAME_BYTES]


def _bound(name: str) -> bytes:
    return PURPOSE + name.encode()


def keyring(setting: str, file: Path) -> Keyring:
    """Keys of a setting, or else of a file, which is made when there is none. Raises ConfigError, with no key in it."""
    return Keyring(_keys(setting, "PPS_SECRETS_KEY") if setting else _keys(_kept(file), str(file)))


def _keys(text: str, where: str) -> list[bytes]:
    keys = list[bytes]()
    for word in re.split(r"[\s,]+", text.strip()):
        try:
            keys.append(base64.b64decode(word.replace("-", "+").replace("_", "/"), validate=True))
        except (binascii.Error, ValueError):
            keys.append(b"")
    if not all(len(key) == KEY_BYTES for key in keys):
        raise ConfigError(
            f"{where}: each key must be {KEY_BYTES} bytes as base64, for example `openssl rand -base64 32`"
        )
    return keys


def _kept(file: Path) -> str:
    """What the file holds. It appears whole or not at all, and of several processes that make it one wins."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as fresh:
                fresh.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
                fresh.flush()
                os.fsync(fresh.fileno())
            with suppress(FileExistsError):
                os.link(beside, file)
        finally:
            beside.unlink()
        folder = os.open(file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    return file.read_text()
