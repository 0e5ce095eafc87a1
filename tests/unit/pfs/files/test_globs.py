"""The glob dialect: tables of matches and captures, and properties against a plain reading of the pattern."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pfs.domain.files.globs import BadGlob, compile_glob

MATCHES = [
    ("*", ["/a", "/dir"], ["", "/a/b"]),
    ("/*", ["/a"], ["", "/a/b"]),
    ("**", ["/a", "/a/b/c"], [""]),
    ("/", [""], ["/a"]),
    ("", [""], ["/a"]),
    ("file*", ["/file", "/file1"], ["/dir/file1", "/afile"]),
    ("dir1/*", ["/dir1/x"], ["/dir1", "/dir1/x/y", "/dir2/x"]),
    ("*/*", ["/a/b"], ["/a", "/a/b/c"]),
    ("**.2", ["/dir1/file1.2", "/x.2"], ["/x.3"]),
    ("**file1?", ["/file10", "/dir/file11"], ["/file1", "/file1/x"]),
    ("/1*", ["/1", "/12"], ["/21", "/1/2"]),
    ("/dir/", ["/dir"], ["/dir/x"]),
    ("[abc]", ["/a"], ["/d", "/ab"]),
    ("[!a-c]x", ["/dx"], ["/ax", "//x"]),
    ("[^a-c]x", ["/dx"], ["/ax"]),
    ("[[:digit:]]*", ["/1a"], ["/a1"]),
    ("[]a]", ["/]", "/a"], ["/b"]),
    ("{a,b{c,d*}}", ["/a", "/bc", "/bdx"], ["/b", "/ac"]),
    ("{a/b,c}", ["/a/b", "/c"], ["/a"]),
    ("?", ["/a"], ["/", "/ab"]),
    ("a.b", ["/a.b"], ["/aXb"]),
    (r"\*", ["/*"], ["/a"]),
    (r"a\*b*", ["/a*bc"], ["/axbc"]),
    ("(a|b)c", ["/ac", "/bc"], ["/c", "/abc"]),
    ("@(a|b)c", ["/ac"], ["/c"]),
    ("?(a|b)c", ["/c", "/ac"], ["/abc"]),
    ("*(a|b)c", ["/c", "/ababc"], ["/xc"]),
    ("+(a|b)c", ["/ac", "/abc"], ["/c"]),
    ("!(a|b)", ["/c", "/ab"], ["/a", "/b", "/c/d"]),
    ("(a", ["/a"], ["/(a"]),
    ("{a,b", ["/a", "/b"], ["/c"]),
    ("a+b@c!^", ["/a+b@c!^"], ["/aab@c!^"]),
]


@pytest.mark.parametrize(("pattern", "yes", "no"), MATCHES)
def test_a_pattern_matches_whole_paths(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = compile_glob(pattern)
    assert [path for path in yes if not glob.matches(path.encode())] == []
    assert [path for path in no if glob.matches(path.encode())] == []


@pytest.mark.parametrize(("pattern", "yes", "no"), MATCHES)
def test_what_matches_is_within_prefix_and_depth(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = compile_glob(pattern)
    for path in yes:
        assert path.startswith(glob.prefix.decode())
        assert glob.depth in (None, path.count("/"))


@pytest.mark.parametrize(
    ("pattern", "path", "captures"),
    [
        ("/(*)-(*).txt", "/a-b.txt", ["a", "b"]),
        ("/(*)/*(x|y)(z|w)", "/d/xyw", ["d", "xy", "w"]),
        ("/?(a)b", "/b", [""]),
        ("/((a|b)c|d)", "/ac", ["ac", "a"]),
        ("/((a|b)c|d)", "/d", ["d", ""]),
        ("/!(a)", "/xyz", ["xyz"]),
        ("/a", "/b", None),
    ],
)
def test_groups_capture_from_left_to_right(pattern: str, path: str, captures: list[str] | None) -> None:
    assert compile_glob(pattern).captures(path.encode()) == captures


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(" * 1000, "nested"),
        ("[a", "unexpected end of input"),
        ("^(a)", r"\^\("),
        ("[[:no:]]", "class"),
        ("a\n", "printable"),
    ],
)
def test_a_pattern_that_cannot_be_read_says_why(pattern: str, why: str) -> None:
    with pytest.raises(BadGlob, match=why):
        compile_glob(pattern)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "pattern",
    [
        *("/*(*)z", "/+(+(a|b)|c)d", "/*(a|aa)b", "/*(?(a)*)b", "/+(a|?)!(c)b/"),
        *("*a" * 20 + "b", "**a" * 20 + "b", "{*a,*b}" * 12 + "c", "?(*a)" * 20 + "b"),
        *("(a|aa)" * 40 + "b", "{**/a,*a}" * 12 + "b"),
    ],
)
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    glob = compile_glob(pattern)
    assert not glob.matches(b"/" + b"a" * 200)
    assert glob.captures(b"/" + b"a" * 200) is None


NAMES = st.text(st.sampled_from("ab.-"), min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))


@given(PATHS, st.lists(st.sampled_from(["*", "**", "?", "a", "b", ".", "-", "/"]), min_size=1, max_size=6))
def test_stars_mean_what_their_regular_expression_means(path: str, tokens: list[str]) -> None:
    pattern = "/" + "".join(tokens)
    if "***" in pattern or "//" in pattern or pattern.endswith("/"):
        return
    plain = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    assert compile_glob(pattern).matches(path.encode()) == bool(re.fullmatch(plain, path))


@given(PATHS)
def test_a_path_is_a_pattern_for_itself(path: str) -> None:
    glob = compile_glob(path)
    assert glob.matches(path.encode())
    assert glob.prefix == path.encode()
