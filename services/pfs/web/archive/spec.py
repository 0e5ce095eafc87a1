"""What an archive holds, as its address says it.

A spec is base64url, without padding, of the byte 1 and a zstd frame of entries "project/repo@ref:path", each ended by
a zero byte, in order.
"""

import base64
import binascii
import io
import re
from collections.abc import Iterable

import zstandard

from services.kit.errors import Invalid
from services.pfs.domain.files.paths import canonical

FORM, SUFFIX = b"\x01", ".zip"
MOST_SPEC_BYTES, MOST_ENTRIES = 1 << 20, 10_000
_ENTRY = re.compile(r"([^/@:\0]+)/([^/@:\0]+)@([^/@:\0]+):([^\0]*)")
Entry = tuple[str, ...]
"""project, repo, ref, path"""


class BadSpec(Invalid):
    def __init__(self, why: str) -> None:
        super().__init__(f"the archive's address cannot be read: {why}")


def address(entries: Iterable[Entry]) -> str:
    """Where these can be had as a zip."""
    texts = sorted(f"{project}/{repo}@{ref}:{path}" for project, repo, ref, path in entries)
    packed = zstandard.ZstdCompressor().compress("".join(f"{text}\0" for text in texts).encode())
    return f"/archive/{base64.urlsafe_b64encode(FORM + packed).rstrip(b'=').decode()}{SUFFIX}"


def read_spec(name: str) -> list[Entry]:
    """The entries in order, each once. name: what follows "/archive/". Raises BadSpec."""
    text = name.removesuffix(SUFFIX)
    if text == name:
        raise BadSpec(f"it does not end in {SUFFIX}")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise BadSpec("it is not base64url") from wrong
    if raw[:1] != FORM:
        raise BadSpec("its form is unknown")
    try:
        with zstandard.ZstdDecompressor(max_window_size=MOST_SPEC_BYTES << 3).stream_reader(
            io.BytesIO(raw[1:])
        ) as frame:
            listed = frame.read(MOST_SPEC_BYTES + 1)
    except zstandard.ZstdError as wrong:
        raise BadSpec("it is not zstd") from wrong
    if len(listed) > MOST_SPEC_BYTES or listed.count(b"\0") > MOST_ENTRIES:
        raise BadSpec(f"it names more than {MOST_ENTRIES} entries, or takes more than {MOST_SPEC_BYTES} bytes")
    *texts, rest = listed.decode(errors="replace").split("\0")
    if rest or not texts:
        raise BadSpec("its entries do not end in zero bytes")
    return sorted(set(map(_entry, texts)))


def _entry(text: str) -> Entry:
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise BadSpec(f"{text!r} is not project/repo@ref:path")
    project, repo, ref, path = found.groups()
    return project, repo, ref, canonical(path)
