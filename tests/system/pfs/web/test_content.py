"""A file over HTTP: its bytes, its headers, conditions and ranges."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from tests.system.pfs.driver import Repo, delete, finished, head, link, put
from tests.system.pfs.web.asking import Site

TEXT = b"0123456789"


def tag(repo: Repo, path: str) -> str:
    return f'"{repo.inspect(path).hash.hex()}"'


def finishing(repo: Repo) -> datetime:
    return repo.wait().finishing.ToDatetime(tzinfo=UTC).replace(microsecond=0)


def test_a_file_and_what_is_said_of_it(a: Repo, site: Site) -> None:
    a.modify(put("/d/digits.txt", TEXT))
    info = a.wait()
    answer = site.file("/d/digits.txt")
    assert (answer.status, answer.body) == (200, TEXT)
    headers = answer.headers
    assert headers["ETag"] == tag(a, "/d/digits.txt")
    assert parsedate_to_datetime(headers["Last-Modified"]) == finishing(a)
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Length"] == "10"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "private, no-cache"
    assert site.file("/d/digits.txt", info.commit.id).headers["Cache-Control"] == "private"
    assert site.file("/d/digits.txt", info.commit.id.upper()).headers["Cache-Control"] == "private"
    assert site.file("/d/digits.txt", f"{info.commit.id}^0").headers["Cache-Control"] == "private, no-cache"


def test_head_says_the_same_without_the_bytes(a: Repo, site: Site) -> None:
    a.modify(put("/f", TEXT), put("/empty", b""))
    a.wait()
    for path in ("/f", "/empty", "/missing", "/", ""):
        whole, head = site.file(path), site.file(path, method="HEAD")
        same = {name: value for name, value in whole.headers.items() if name not in ("Date", "Transfer-Encoding")}
        assert {name: value for name, value in head.headers.items() if name != "Date"} == same
        assert (head.status, head.body) == (whole.status, b"")
    assert site.file("/empty").body == b""


def test_ranges(a: Repo, site: Site) -> None:
    a.modify(put("/f", TEXT), put("/empty", b""))
    a.wait()
    for asked, given, where in (
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=7-99", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", TEXT, "bytes 0-9/10"),
        ("Bytes = 2 - 4", b"234", "bytes 2-4/10"),
    ):
        answer = site.file("/f", Range=asked)
        assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, given, where)
        assert answer.headers["ETag"] == tag(a, "/f")
    for asked in ("bytes=10-", "bytes=10-12", "bytes=-0"):
        answer = site.file("/f", Range=asked)
        assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */10")
    assert site.file("/empty", Range="bytes=0-").headers["Content-Range"] == "bytes */0"
    for asked in ("bytes=4-2", "bytes=-", "bytes=a-b", "bytes=1-2,4-5", "lines=1-2", "bytes=1"):
        assert (site.file("/f", Range=asked).status, site.file("/f", Range=asked).body) == (200, TEXT)


def test_ranges_of_a_file_that_is_stored_in_parts(a: Repo, site: Site) -> None:
    data = random.Random(7).randbytes(9 << 20)
    a.modify(put("/f", data))
    a.wait()
    assert site.file("/f").body == data
    for first, last in ((0, 0), (1 << 20, 5 << 20), (4194303, 4194304), (12345, len(data) - 1), (len(data) - 1,) * 2):
        answer = site.file("/f", Range=f"bytes={first}-{last}")
        assert (answer.status, answer.body == data[first : last + 1]) == (206, True)


def test_conditions(a: Repo, site: Site) -> None:
    a.modify(put("/f", TEXT))
    a.wait()
    mine, when = tag(a, "/f"), finishing(a)
    then, before, later = (
        format_datetime(when + timedelta(seconds=shift), usegmt=True) for shift in (0, -1, 1)
    )  # fmt: skip
    for headers, status in (
        ({"If_None_Match": mine}, 304),
        ({"If_None_Match": f'"x", W/{mine}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": '"x"', "If_Modified_Since": later}, 200),
        ({"If_Modified_Since": then}, 304),
        ({"If_Modified_Since": later}, 304),
        ({"If_Modified_Since": before}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Match": mine}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": f"W/{mine}"}, 412),
        ({"If_Match": '"x"'}, 412),
        ({"If_Unmodified_Since": before}, 412),
        ({"If_Unmodified_Since": then}, 200),
        ({"If_Match": mine, "If_None_Match": mine}, 304),
        ({"Range": "bytes=1-2", "If_Range": mine}, 206),
        ({"Range": "bytes=1-2", "If_Range": '"x"'}, 200),
        ({"Range": "bytes=1-2", "If_Range": f"W/{mine}"}, 200),
        ({"Range": "bytes=1-2", "If_Range": then}, 206),
        ({"Range": "bytes=1-2", "If_Range": before}, 200),
        ({"Range": "bytes=99-", "If_Range": '"x"'}, 200),
        ({"Range": "bytes=1-2", "If_None_Match": mine}, 304),
    ):
        answer = site.file("/f", **headers)
        assert (answer.status, headers) == (status, headers)
        if status == 304:
            assert (answer.body, answer.headers["ETag"]) == (b"", mine)
            assert answer.headers["Cache-Control"] == "private, no-cache"


def test_kinds_by_name(a: Repo, site: Site) -> None:
    kinds = {
        "a.jpg": "image/jpeg",
        "a.html": "text/html; charset=utf-8",
        "a.json": "application/json; charset=utf-8",
        "a.tar.gz": "application/gzip",
        "a.pdf": "application/pdf",
        "a.unheard-of": "application/octet-stream",
        "noname": "application/octet-stream",
    }
    a.modify(*(put(f"/{name}", TEXT) for name in kinds))
    a.wait()
    for name, kind in kinds.items():
        headers = site.file(f"/{name}").headers
        assert headers["Content-Type"] == kind
        assert ("sandbox" in headers.get("Content-Security-Policy", "")) is (kind != "application/pdf")


def test_a_commit_that_is_open(a: Repo, site: Site) -> None:
    commit = a.start()
    a.modify(put("/f", TEXT), commit=commit)
    answer = site.file("/f", commit.id)
    assert (answer.status, answer.body, answer.headers["Last-Modified"]) == (200, TEXT, None)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["ETag"] == tag(a, "/f")
    a.modify(put("/f", TEXT), commit=commit)
    assert site.file("/f", If_None_Match=answer.headers["ETag"]).body == TEXT + TEXT
    assert site.file("/f", If_Modified_Since="Fri, 01 Jan 2100 00:00:00 GMT").status == 200
    a.finish(commit)
    assert site.file("/f", commit.id).headers["Cache-Control"] == "private"


def test_a_commit_that_errored(a: Repo, site: Site) -> None:
    a.modify(put("/f", TEXT))
    a.wait()
    broken = a.start()
    a.modify(put("/g", TEXT), put("/g/h", TEXT), commit=broken)
    assert a.finish(broken).error
    assert (site.file("/g").status, site.file("/g/h").status, site.file("/f").status) == (200, 200, 200)
    assert site.file("/g", broken.id).headers["Cache-Control"] == "private"
    answer = site.file("/")
    assert answer.status == 400
    assert "/g" in answer.text


def test_a_commit_on_one_that_is_not_finished(a: Repo, b: Repo, site: Site) -> None:
    link(b, a)
    finished(a)
    a.start()
    answer = site.ask(f"/pfs/default/{b.name}/master/f")
    assert answer.status == 400
    assert "base commit" in answer.text
    assert "unfinished" in answer.text


def test_steps_from_a_branch(a: Repo, site: Site) -> None:
    for number in range(3):
        a.modify(delete("/f"), put("/f", str(number).encode()))
        a.wait()
    id = head(a).commit.id
    for ref, text in (
        ("master", b"2"), ("master^", b"1"), ("master^2", b"0"), ("master~1", b"1"), ("master.1", b"0"),
        (f"{id}^", b"1"), ("master%5E", b"1"),
    ):  # fmt: skip
        assert (site.file("/f", ref).body, ref) == (text, ref)
    assert site.file("/f", "master^3").status == 400
