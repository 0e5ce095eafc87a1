"""Zips of files and directories."""

import base64
import io
import os
import zipfile

import pytest
import zstandard

from services.pfs.web.archive.spec import address
from tests.system.pfs.driver import Repo, delete, put
from tests.system.pfs.web.asking import Answer, Site


def encoded(text: bytes, form: bytes = b"\1") -> str:
    raw = form + zstandard.ZstdCompressor().compress(text)
    return f"/archive/{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}.zip"


def opened(answer: Answer) -> dict[str, bytes]:
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


def test_a_spec_is_read_as_it_is_written() -> None:
    assert address([("p", "r", "master", "/d")]) == encoded(b"p/r@master:/d\0")


def test_files_and_directories_of_several_commits(a: Repo, b: Repo, site: Site) -> None:
    big = b"0123456789abcdef" * 400_000
    a.modify(put("/d/f", b"1"), put("/d/e/g", big), put("/d-e", b"3"), put("/x", b"4"), put("/empty", b""))
    first = a.wait().commit.id
    a.modify(delete("/d/f"), put("/d/f", b"2"))
    a.wait()
    b.modify(put("/y", b"5"), put("/z", b"6"))
    b.wait()
    text = (
        f"default/{a.name}@{first}:/d/f\0default/{a.name}@master:/d/\0default/{a.name}@master:d/f\0"
        f"default/{a.name}@master:/empty\0default/{b.name}@master:/\0default/{b.name}@master:/y\0"
    )
    answer = site.ask(encoded(text.encode()))
    assert opened(answer) == {
        f"default/{a.name}/{first}/d/f": b"1",
        f"default/{a.name}/master/d/f": b"2",
        f"default/{a.name}/master/d/e/g": big,
        f"default/{a.name}/master/empty": b"",
        f"default/{b.name}/master/y": b"5",
        f"default/{b.name}/master/z": b"6",
    }
    assert len(answer.body) < len(big) // 50
    assert answer.headers["Content-Disposition"] == 'attachment; filename="datamill.zip"'
    one = site.ask(address([("default", a.name, "master", "/x")]), "HEAD")
    assert (one.status, one.body) == (200, b"")
    assert one.headers["Content-Disposition"] == f'attachment; filename="{a.name}-master.zip"'


def test_what_would_not_shrink_is_not_packed(a: Repo, site: Site) -> None:
    noise = os.urandom(5 << 20)
    a.modify(put("/noise", noise), put("/few", b"1234"))
    a.wait()
    answer = site.ask(address([("default", a.name, "master", "/")]))
    assert opened(answer) == {f"default/{a.name}/master/noise": noise, f"default/{a.name}/master/few": b"1234"}
    assert len(noise) < len(answer.body) < len(noise) + (8 << 10)


def test_what_cannot_be_given_is_said_inside(a: Repo, site: Site) -> None:
    a.modify(put("/f", b"1"))
    a.wait()
    broken = a.start()
    a.modify(put("/g", b"1", "x"), put("/g", b"2", "y"), commit=broken)
    a.finish(broken)
    names = [("master", "/f"), ("master^", "/missing"), ("nope", "/f"), (broken.id, "/g"), ("a..b", "/")]
    found = opened(site.ask(address([("default", a.name, *name) for name in names] + [("p", "r", "b", "/")])))
    said = found.pop("@error.txt").decode()
    assert found.pop(f"default/{a.name}/master/f") == b"1"
    for words in (
        "file /missing not found",
        f'branch "nope" not found in repo default/{a.name}',
        "repo p/r not found",
        "matched multiple files",
        "invalid ancestry format",
    ):
        assert words in said


def test_a_page_leads_to_its_archive(a: Repo, site: Site) -> None:
    a.modify(put("/d/f", b"1"), put("/e", b"2"))
    a.wait()
    (link,) = [part for part in site.browse("/d/").text.split('"') if part.startswith("/archive/")]
    assert opened(site.ask(link)) == {f"default/{a.name}/master/d/f": b"1"}


@pytest.mark.parametrize(
    "path",
    [
        "/archive/", "/archive/.zip", "/archive/abc", "/archive/!!.zip", "/archive/AA.zip", "/archive/AQ.zip",
        "/archive/AQAB.zip", encoded(b"p/r@b:/\0", b"\2"), encoded(b""), encoded(b"p/r@b:/"), encoded(b"p/r:/\0"),
        encoded(b"p@b:/\0"), encoded(b"\0"), encoded(b"p/r@b:/\0" * 10_001), encoded(bytes(64 << 20)),
    ],
)  # fmt: skip
def test_specs_that_cannot_be_read(a: Repo, site: Site, path: str) -> None:
    answer = site.ask(path)
    assert (answer.status, "the archive's address cannot be read" in answer.text) == (400, True)
