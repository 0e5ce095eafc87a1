"""Which paths may be stored, with the sentences that clients match on, and their stored form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pfs.domain.files.paths import (
    BadPath,
    at,
    below,
    canonical,
    check_path,
    file_path,
    key_of,
    parents,
    split_key,
)

PRINTABLE = "only printable ASCII characters allowed"
RELATIVE = "relative file paths are not allowed"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", f"path () invalid: {PRINTABLE}"),
        ("a\x00", f"path (a\x00) invalid: {PRINTABLE}"),
        ("a\x0bb", f"path (a\x0bb) invalid: {PRINTABLE}"),
        ("\x1f", f"path (\x1f) invalid: {PRINTABLE}"),
        ("\x7f", f"path (\x7f) invalid: {PRINTABLE}"),
        ("é", f"path (é) invalid: {PRINTABLE}"),
        ("foobar*", "path (foobar*) invalid: globbing character (*) not allowed in path"),
        ("a[b", "path (a[b) invalid: globbing character ([) not allowed in path"),
        ("../foo", f"path (../foo) invalid: {RELATIVE}"),
        ("foo/../../bar", f"path (foo/../../bar) invalid: {RELATIVE}"),
        ("foo/./bar", f"path (foo/./bar) invalid: {RELATIVE}"),
        ("..", f"path (..) invalid: {RELATIVE}"),
    ],
)
def test_a_bad_path_is_refused_word_for_word(path: str, text: str) -> None:
    with pytest.raises(BadPath) as problem:
        check_path(path)
    assert str(problem.value) == text


@pytest.mark.parametrize("path", [" ", "~", "a..b", "...", "a:b,c=d&e$f#g%h\"'\\", "/a//b/"])
def test_a_good_path_passes(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize("character", "*?[]{}!()@+^")
def test_every_globbing_character_is_named(character: str) -> None:
    with pytest.raises(BadPath, match="globbing character") as problem:
        check_path(f"a{character}b")
    assert f"({character}) not allowed in path" in str(problem.value)


@pytest.mark.parametrize(
    ("path", "clean"), [("", "/"), ("/", "/"), ("//", "/"), ("a", "/a"), ("/a/", "/a"), ("a//b///c/", "/a/b/c")]
)
def test_the_stored_form(path: str, clean: str) -> None:
    assert canonical(path) == clean


def test_a_file_at_the_root_needs_a_name() -> None:
    with pytest.raises(BadPath):
        file_path("//")


NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="/"), min_size=1)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


@given(PATHS, PATHS, st.sampled_from(["default", "x"]))
def test_keys_fall_into_the_spans_of_their_path(path: str, other: str, datum: str) -> None:
    key = key_of(path, datum)
    assert split_key(key) == (path, datum)
    low, high = at(other)
    assert (low <= key < high) == (path == other)
    low, high = below(other)
    assert (low <= key < high) == path.startswith(other + "/")
    low, high = below("/")
    assert low <= key < high
    assert all(path.startswith(directory + "/") for directory in parents(path))
