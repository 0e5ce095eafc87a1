"""Where the text of a spec, a template or a document comes from: a file, an address, or standard input."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

from datamill.errors import Invalid

FETCH_SECONDS = 30.0
STANDARD_INPUT = "-"


def load(source: str) -> str:
    """The text of a file, of an http(s) address, or of standard input for "-". Raises Invalid, OSError."""
    try:
        return _raw(source).decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{shown(source)} is no text in UTF-8: {error.reason} at byte {error.start}") from error


def shown(source: str) -> str:
    """What the source is called in messages."""
    return "standard input" if source == STANDARD_INPUT else source


def _raw(source: str) -> bytes:
    if source == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    if source.startswith(("http://", "https://")):
        try:
            with urllib.request.urlopen(source, timeout=FETCH_SECONDS) as reply:
                return bytes(reply.read())
        except urllib.error.URLError as error:
            raise Invalid(f"cannot read {source}: {error}") from error
    return Path(source).read_bytes()
