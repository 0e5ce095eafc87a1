"""Directories as a browser sees them."""

import html.parser
import re
from urllib.parse import urljoin

import pytest

from tests.system.pfs.driver import Repo, put
from tests.system.pfs.web.asking import Site


class Links(html.parser.HTMLParser):
    """Where a page leads, and which elements it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.to: list[str] = []
        self.elements = set[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.to += [value for name, value in attrs if name == "href" and value]


def test_a_page(a: Repo, site: Site) -> None:
    a.modify(put("/d/big.bin", bytes(3_000_000)), put("/d/e/f", b"12"))
    a.wait()
    answer = site.browse("/d/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Accept" in answer.headers["Vary"]
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert ">2.9 MiB<" in answer.text
    assert 'title="3000000 bytes"' in answer.text
    to = [urljoin(site.at("/d/"), link) for link in Links(answer.text).to]
    for path in ("/", "/d/", "/d/big.bin", "/d/e/"):
        assert site.at(path) in to
    for link in to:
        assert (site.ask(link).status, link) == (200, link)


def test_every_odd_name_is_shown_and_leads_there(a: Repo, site: Site) -> None:
    names = ["<script>alert<", "a&amp;b", "q\"uo'te", "50%", "a;b", "x:y", "a b", "#1", "\\n"]
    a.modify(*(put(f"/{name}/{name}", name.encode()) for name in names))
    a.wait()
    page = Links(site.browse("/").text)
    assert "script" not in page.elements
    for link in page.to:
        if link.startswith("./"):
            inner = Links(site.ask(urljoin(site.at("/"), link), Accept="text/html").text)
            (file,) = (other for other in inner.to if other.startswith("./"))
            found = site.ask(urljoin(urljoin(site.at("/"), link), file))
            assert found.text in names
            names.remove(found.text)
    assert names == []


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("*/*", False), ("", False), ("text/plain", False), ("text/html", True), ("text/html, */*;q=0.1", True),
        ("text/html;q=0.5, text/plain", False), ("text/html, text/plain;q=0.5", True), ("text/html;q=0", False),
        ("text/html;q=x", False), ("TEXT/HTML", True), ("application/json", False),
    ],
)  # fmt: skip
def test_who_prefers_a_page(site: Site, accept: str, page: bool) -> None:
    assert site.ask("/pfs/", Accept=accept).headers["Content-Type"].startswith("text/html" if page else "text/plain")


def test_a_long_directory_is_shown_in_parts(a: Repo, site: Site) -> None:
    a.modify(*(put(f"/d/{number:04}", b"") for number in range(2300)))
    a.wait()
    assert site.file("/d/").text.count("\n") == 2300
    found, path = list[str](), "/d/"
    for shown in (1000, 1000, 300):
        page = Links(site.browse(path).text).to
        names = [link[2:] for link in page if re.fullmatch(r"\./\d{4}", link)]
        assert len(names) == shown
        found += names
        more = [link for link in page if link.startswith("?after=")]
        path = "/d/" + (more[0] if more else "")
    assert (found, path) == ([f"{number:04}" for number in range(2300)], "/d/")


def test_nothing_to_show(a: Repo, site: Site) -> None:
    a.finish(a.start())
    assert "nothing here" in site.browse("/").text
    assert (site.file("/").status, site.file("/").body) == (200, b"")
