"""What a datum is called, and when it counts as done already.

A datum is one unit of work: a file or directory, or a combination of them, from the inputs of a pipeline.
Holds for ever: ids and hashes are those of the protocol: BLAKE2b-256 over each input's name, repo, branch and path,
each followed by its length as 8 bytes, big-endian; the hash adds the content of inputs that are no references, and the
salt.
Elsewhere: which datums a job has and which of them run (planning/); their stored form (records.py).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple


class DatumState(IntEnum):
    """How a datum went, with the protocol's numbers."""

    UNKNOWN = 0
    FAILED = 1
    SUCCESS = 2
    SKIPPED = 3
    RECOVERED = 5


@dataclass(frozen=True, slots=True)
class Leaf:
    """A PFS input of a pipeline, with defaults filled in."""

    name: str
    project: str
    repo: str
    branch: str
    glob: str
    repo_type: str = "user"
    join_on: str = ""
    outer_join: bool = False
    group_by: str = ""
    lazy: bool = False
    empty_files: bool = False
    s3: bool = False
    reference: bool = False
    head: bytes = field(init=False, repr=False, compare=False)
    """What an id has of it before the path."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "head", b"".join(map(_measured, (self.name, self.repo, self.branch))))


class InputFile(NamedTuple):
    """A file or directory as an input of a datum. commit: the id of the commit that really holds it."""

    leaf: Leaf
    commit: str
    path: str
    size_bytes: int
    digest: bytes
    join_on: str = ""
    group_by: str = ""


Datum = tuple[InputFile, ...]
"""A datum's inputs, in the order of the input tree."""


def datum_id(inputs: Iterable[InputFile]) -> bytes:
    """The datum's id, 32 bytes; users see them as hex."""
    parts = [part for file in inputs for part in (file.leaf.head, _measured(file.path))]
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def _measured(text: str) -> bytes:
    raw = text.encode()
    return raw + len(raw).to_bytes(8, "big")


def datum_hash(id: bytes, inputs: Iterable[InputFile], salt: str) -> bytes:
    """What changes when the datum must run again, 32 bytes."""
    digests = b"".join([file.digest for file in inputs if not file.leaf.reference])
    return hashlib.blake2b(id.hex().encode() + digests + salt.encode(), digest_size=32).digest()
