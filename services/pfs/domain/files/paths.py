"""What a path may be, and the one form it is stored in.

Stored paths are absolute, "/" between names, no "/" at the end; a directory is written with a "/" at its end and the
root is "/". Order is byte order. Directories are implied by the files below them.
A row of a tree is keyed by path, a zero byte, datum tag: so one path's rows are neighbours, and what lies below
directory d is the span from d + "/" to d + "0" ("0" follows "/").
Elsewhere: patterns over paths (globs.py).
"""

import re

from services.kit.errors import Problem

DEFAULT_DATUM = "default"
GLOB_CHARACTERS = "*?[]{}!()@+^"
_GLOB_CHARACTER = re.compile(f"[{re.escape(GLOB_CHARACTERS)}]")
# What nearly every path is: as it is stored, and with nothing in it that a path may not hold.
_STORED = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[^\x00-\x1f\x7f-\U0010ffff/*?\[\]{}!()@+^]+)+")


class BadPath(Problem):
    """A path that cannot be stored."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"path ({path}) invalid: {why}")


def check_path(path: str) -> None:
    """Raises BadPath unless `path`, as the caller wrote it, may name a file or a directory."""
    if not path or not path.isascii() or not path.isprintable():
        raise BadPath(path, "only printable ASCII characters allowed")
    found = _GLOB_CHARACTER.search(path)
    if found is not None:
        raise BadPath(path, f"globbing character ({found[0]}) not allowed in path")
    if "." in path and any(name in (".", "..") for name in path.split("/")):
        raise BadPath(path, "relative file paths are not allowed")


def file_path(path: str) -> str:
    """The stored form of a path that is to be written. Raises BadPath."""
    if _STORED.fullmatch(path):
        return path
    check_path(path)
    clean = canonical(path)
    if clean == "/":
        raise BadPath(path, "a file needs a name")
    return clean


def canonical(path: str) -> str:
    """Absolute, single "/", none at the end; "" and "/" are the root "/". Never fails."""
    if path.startswith("/") and "//" not in path and (path == "/" or not path.endswith("/")):
        return path
    return "/" + "/".join(name for name in path.split("/") if name)


def datum_tag(datum: str) -> str:
    """The stored form of a datum tag. Raises BadPath."""
    if "\0" in datum:
        raise BadPath(datum, "a datum tag holds no zero byte")
    return datum or DEFAULT_DATUM


def key_of(path: str, datum: str) -> bytes:
    """The key of a row. path: stored form."""
    return f"{path}\0{datum}".encode()


def split_key(key: bytes) -> tuple[str, str]:
    """(path, datum) of a row's key."""
    path, _, datum = key.decode().partition("\0")
    return path, datum


def below(path: str) -> tuple[bytes, bytes]:
    """The span of keys, half-open, of everything below a directory. path: canonical."""
    raw = path.rstrip("/").encode()
    return raw + b"/", raw + b"0"


def at(path: str) -> tuple[bytes, bytes]:
    """The span of keys, half-open, of the file `path`, whatever its datum."""
    raw = path.encode()
    return raw + b"\0", raw + b"\1"


def parents(path: str) -> list[str]:
    """The directories above a file or directory, outermost first, without the root: "/a/b/c" -> ["/a", "/a/b"]."""
    names = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(names[: depth + 1]) for depth in range(len(names))]
