"""Listings, as lines for programs and as a small page for people.

A line is type ("d" or "-"), size in bytes and path, with tabs between. Whatever callers have named is escaped.
"""

from collections.abc import Iterable, Iterator
from html import escape
from string import Template
from typing import NamedTuple
from urllib.parse import quote

FOLDER, FILE = "d", "-"
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_TOP = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8884; --quiet: #888; --link: #06c; }
@media (prefers-color-scheme: dark) { :root { --link: #6af; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.2rem; font-weight: 600; overflow-wrap: anywhere; }
h1 span { color: var(--quiet); font-weight: 400; }
table { border-collapse: collapse; width: 100%; }
td { padding: .3rem .5rem; border-top: 1px solid var(--line); }
td:first-child { overflow-wrap: anywhere; }
td:last-child { text-align: right; white-space: nowrap; color: var(--quiet); font-variant-numeric: tabular-nums; }
tr:hover { background: #8881; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
p, footer { color: var(--quiet); }
</style>
</head>
<body>
<h1>$crumbs</h1>
<table>
""")
_ROW = '<tr><td><a href="{to}">{name}</a></td><td title="{size} bytes">{short}</td></tr>\n'
_UP = '<tr><td><a href="../">../</a></td><td></td></tr>\n'


class Item(NamedTuple):
    """path: as lines say it; the last name of it is what a page shows. A directory's ends in "/"."""

    kind: str
    size: int
    path: str


def line(item: Item) -> bytes:
    return f"{item.kind}\t{item.size}\t{item.path}\n".encode()


def top(crumbs: Iterable[tuple[str, str]], *, up: bool) -> bytes:
    """The page until its first row. crumbs: names, and where each leads."""
    crumbs = list(crumbs)
    links = " <span>/</span> ".join(f'<a href="{escape(to)}">{escape(name)}</a>' for name, to in crumbs)
    title = escape("/".join(name for name, _ in crumbs))
    return (_TOP.substitute(title=title, crumbs=links) + (_UP if up else "")).encode()


def row(item: Item) -> bytes:
    name = item.path.rstrip("/").rsplit("/", 1)[-1]
    slash = "/" if item.kind == FOLDER else ""
    to = f"./{quote(name, safe='')}{slash}"
    return _ROW.format(to=escape(to), name=escape(name + slash), size=item.size, short=short(item.size)).encode()


def bottom(shown: int, *, more: str = "", archive: str = "") -> bytes:
    """The page from its last row on. more: where the next page is; archive: where all of it can be had at once."""
    parts = ["</table>\n"]
    if not shown:
        parts.append("<p>nothing here</p>\n")
    if more:
        parts.append(f'<p><a href="{escape(more)}">more</a></p>\n')
    if archive:
        parts.append(f'<footer><a href="{escape(archive)}">download all as zip</a></footer>\n')
    return "".join([*parts, "</body>\n</html>\n"]).encode()


def short(size: int) -> str:
    """A size as people read it."""
    if size < 1024:
        return f"{size} B"
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if value >= 99.5 else f"{value:.1f} {UNITS[unit]}"


def as_lines(items: Iterable[Item]) -> Iterator[bytes]:
    return map(line, items)


def prefers_html(accept: str) -> bool:
    """Whether a page is wanted rather than lines: browsers say so by name, programs take anything."""
    wanted = {"text/html": 0.0, "text/plain": 0.0}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if kind in wanted:
            wanted[kind] = _quality(parameters)
    return wanted["text/html"] > wanted["text/plain"]


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
