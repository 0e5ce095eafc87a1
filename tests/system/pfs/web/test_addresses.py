"""Which addresses there are, what the others are told, and that nothing in one leads anywhere else."""

from tests.system.pfs.driver import Repo, put
from tests.system.pfs.web.asking import Site

OTHERS = "https://elsewhere.example.org"


def test_health(site: Site) -> None:
    assert (site.ask("/healthz").status, site.ask("/healthz").text) == (200, "healthy\n")


def test_from_all_projects_down_to_a_file(a: Repo, site: Site) -> None:
    a.modify(put("/d/f", b"abc"), put("/e", b"de"))
    a.wait()
    assert "d\t" in site.ask("/pfs/").text
    assert "\t/default/\n" in site.ask("/pfs/").text
    assert f"d\t5\t/default/{a.name}/\n" in site.ask("/pfs/default/").text
    assert site.ask(f"/pfs/default/{a.name}/").text == f"d\t5\t/default/{a.name}/master/\n"
    assert site.file("/").text == "d\t3\t/d/\n-\t2\t/e\n"
    assert site.file("/d/").text == "-\t3\t/d/f\n"
    assert site.file("/d/").headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_directory_ends_in_a_slash(a: Repo, site: Site) -> None:
    a.modify(put("/d/x y/f", b"abc"))
    a.wait()
    for path, to in (
        ("/", "/pfs/"),
        ("/pfs", "/pfs/"),
        ("/pfs/default", "/pfs/default/"),
        (f"/pfs/default/{a.name}", f"/pfs/default/{a.name}/"),
        (site.at(""), site.at("/")),
        (site.at("/d"), site.at("/d/")),
        (site.at("/d/x%20y"), site.at("/d/x%20y/")),
        (site.at("/d/x%20y/f/"), site.at("/d/x%20y/f")),
        (site.at("/d?authn-token=t&a=b"), site.at("/d/?authn-token=t&a=b")),
    ):
        answer = site.ask(path)
        assert (answer.status, answer.headers["Location"]) == (302, to)


ODD = (
    ("a b", "a%20b"), ("a;b", "a;b"), ("a;b", "a%3Bb"), ("50%", "50%25"), ("a&b=c", "a&b=c"), ("a#b", "a%23b"),
    ("master", "master"), ("a%2Fb", "a%252Fb"), ("~a", "~a"), ("a'b\"c", "a'b%22c"), ("a,b:c=d", "a,b:c=d"),
    ("...", "..."), ("a\\b", "a%5Cb"), ("<i>", "%3Ci%3E"), ("|", "%7C"),
)  # fmt: skip
MISSING = (
    "/../f", "/d/../f", "/./f", "/%2e%2e/f", "/%2E%2E%2Ff", "/..%2f..%2f..%2fetc/passwd", "/f%00", "/%00", "/d%0a",
    "/%E2%9C%93", "/%ff", "/*", "/%3F", "/[f]", "/{f,g}", "/f;x", "/d/f/g", "/F", "/%", "/%zz",
)  # fmt: skip


def test_odd_names(a: Repo, site: Site) -> None:
    names = {name for name, _ in ODD}
    a.modify(*(put(f"{folder}/{name}", name.encode()) for name in names for folder in ("", "/d")))
    a.wait()
    for name, written in ODD:
        for path in (f"/{written}", f"/d/{written}", f"/d%2F{written}", f"//d//{written}"):
            assert (site.file(path).text, path) == (name, path)


def test_no_such_file(a: Repo, site: Site) -> None:
    a.modify(put("/f", b"1"), put("/d/f", b"2"))
    a.wait()
    for path in MISSING:
        answer = site.file(path)
        assert (answer.status, path) == (404, path)
        assert f"not found in repo default/{a.name} at commit master" in answer.text
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_what_is_missing_is_said_as_by_grpc(a: Repo, site: Site) -> None:
    a.modify(put("/f", b"1"))
    commit, nobody = a.wait().commit.id, "0" * 12 + "4" + "0" * 19
    for path, status, words in (
        (site.at("/g"), 404, f"file /g not found in repo default/{a.name} at commit master\n"),
        (site.at("/g", commit), 404, f"file /g not found in repo default/{a.name} at commit {commit}\n"),
        (site.at("/g/"), 404, f"file /g/ not found in repo default/{a.name} at commit master\n"),
        (site.at("/f", "nope"), 404, f'branch "nope" not found in repo default/{a.name}'),
        (site.at("/f", nobody), 404, f"commit default/{a.name}@{nobody} not found"),
        (site.at("/f", "a..b"), 400, "invalid ancestry format: a..b"),
        ("/pfs/default/no-such-repo/master/f", 404, "repo default/no-such-repo not found"),
        ("/pfs/default/no-such-repo/", 404, "repo default/no-such-repo not found"),
        ("/pfs/no-such-project/", 404, 'project "no-such-project" not found'),
        ("/pfs/no-such-project/r/master/f", 404, "repo no-such-project/r not found"),
        ("/pfs//images/master/f", 404, "is no address of a file"),
        ("/pfs/default//master/f", 404, "is no address of a file"),
        (f"/pfs/default/{a.name}//f", 404, "is no address of a file"),
        ("/pfs//", 404, "is no address of a file"),
        ("/pfs/default/a%00b/master/f", 404, "is no address of a file"),
        ("/pfs/default/a%00b/", 404, "is no address of a file"),
        ("/pfs/%0a/", 404, "is no address of a file"),
        (site.at("/f", "%00"), 404, "is no address of a file"),
        (site.at("/f", "%E2%9C%93"), 404, "not found"),
        ("/etc/passwd", 404, "nothing is served at this address"),
        ("/pfsx/", 404, "nothing is served at this address"),
        ("//pfs/", 404, "nothing is served at this address"),
    ):
        answer = site.ask(path)
        assert (answer.status, path) == (status, path)
        assert words in answer.text


def test_a_repo_of_another_type(a: Repo, site: Site) -> None:
    answer = site.ask(f"/pfs/default/{a.name}.meta/master/f")
    assert (answer.status, f"repo default/{a.name}.meta not found" in answer.text) == (404, True)
    a.modify(put("/f", b"1"))
    a.wait()
    assert site.ask(f"/pfs/default/{a.name}.user/master/f").text == "1"


def test_only_reading(a: Repo, site: Site) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = site.file("/", method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_token_is_taken(a: Repo, site: Site) -> None:
    a.modify(put("/f", b"1"))
    a.wait()
    assert site.file("/f?authn-token=secret").body == b"1"
    assert site.file("/f", authn_token="secret").body == b"1"


def test_pages_of_other_sites_are_refused(a: Repo, site: Site) -> None:
    a.modify(put("/f", b"1"))
    a.wait()
    here = f"http://127.0.0.1:{site.port}"
    followed = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    for headers, status in (
        ({"Origin": OTHERS}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": here + "0"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403),
        ({"Sec_Fetch_Site": "same-origin", "Origin": OTHERS}, 403),
        ({"Origin": here}, 200),
        ({"Origin": "https://app.example.org", "Sec_Fetch_Site": "cross-site"}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none", **followed}, 200),
        ({"Sec_Fetch_Site": "cross-site", **followed}, 200),
    ):
        assert (site.file("/f", **headers).status, headers) == (status, headers)
        assert site.ask("/archive/x.zip", **headers).status == (403 if status == 403 else 400)
