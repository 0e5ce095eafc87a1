"""Datum ids and hashes: fixed values, and what they depend on."""

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain.datums import InputFile, Leaf, datum_hash, datum_id

LEAF = Leaf("images", "default", "images", "master", "/*")
FILE = InputFile(LEAF, "c" * 32, "/cat.png", 3, bytes(range(32)))
names = st.text(st.characters(codec="ascii", exclude_characters="/"), min_size=1, max_size=8)


def test_an_id_is_the_one_of_the_protocol() -> None:
    hashed = hashlib.blake2b(digest_size=32)
    for text in (b"images", b"images", b"master", b"/cat.png"):
        hashed.update(text + len(text).to_bytes(8, "big"))
    assert datum_id((FILE,)) == hashed.digest()
    assert datum_id((FILE,)).hex() == "698479f9ed6ef90f06a1ceef954994f914c38932c98d65622d567cbfd7453679"


def test_a_hash_covers_id_content_and_salt() -> None:
    id = datum_id((FILE,))
    expected = hashlib.blake2b(id.hex().encode() + FILE.digest + b"salt", digest_size=32).digest()
    assert datum_hash(id, (FILE,), "salt") == expected
    assert expected.hex() == "32ebe9275d35da122d167f28e48a28e4c49892e6bad323d79a7259e159dd884c"


def test_the_content_of_a_reference_does_not_matter() -> None:
    reference = FILE._replace(leaf=replace(LEAF, reference=True))
    changed = reference._replace(digest=bytes(32))
    id = datum_id((reference,))
    assert datum_hash(id, (reference,), "s") == datum_hash(id, (changed,), "s")
    assert datum_hash(id, (FILE,), "s") != datum_hash(id, (FILE._replace(digest=bytes(32)),), "s")


@given(names, names, names, names, st.binary(min_size=32, max_size=32))
def test_an_id_depends_on_names_and_nothing_else(name: str, repo: str, branch: str, path: str, digest: bytes) -> None:
    leaf = Leaf(name, "default", repo, branch, "/*")
    file = InputFile(leaf, "a" * 32, "/" + path, 1, digest)
    elsewhere = InputFile(replace(leaf, project="other", glob="/**", lazy=True), "b" * 32, "/" + path, 2, bytes(32))
    assert datum_id((file,)) == datum_id((elsewhere,))


@given(st.lists(st.tuples(names, names), min_size=2, max_size=4, unique=True))
def test_no_two_ways_of_splitting_text_share_an_id(parts: list[tuple[str, str]]) -> None:
    ids = {datum_id((InputFile(Leaf(name, "p", repo, "m", "/"), "c", "/x", 0, b""),)) for name, repo in parts}
    assert len(ids) == len(parts)
