"""Folders: walked in the order of paths, and unpacked so that nothing is ever written outside."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill.bulk.fetching.unpacking import unpack
from datamill.bulk.local import walk
from datamill.errors import Corrupt, Invalid


def tar(*members: tuple[str, bytes | None, bytes]) -> Iterator[bytes]:
    """A tar stream of (name, content or None, type), in small pieces."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.size = len(content or b"")
            info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            archive.addfile(info, io.BytesIO(content or b""))
    data = out.getvalue()
    return (data[start : start + 700] for start in range(0, len(data), 700))


def unseen(_count: int) -> None: ...


def test_a_folder_is_walked_in_order_of_path(tmp_path: Path) -> None:
    for name in ("b", "a/x", "a-b", "a/y/z", "c/1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    (tmp_path / "linked").symlink_to(tmp_path / "c")
    found = [one.path for one in walk(tmp_path)]
    assert found == sorted(found, key=str.encode)
    assert found == ["a-b", "a/x", "a/y/z", "b", "c/1", "link", "linked/1"]


def test_a_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    with pytest.raises(Invalid, match="link to a folder it lies in"):
        list(walk(tmp_path))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Invalid, match="pipe"):
        list(walk(tmp_path))
    with pytest.raises(Invalid, match="not a folder"):
        list(walk(tmp_path / "nothing"))


def test_a_name_that_is_not_text_is_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("x")
    with pytest.raises(Invalid, match=r"caf\\xe9.txt.* is not text"):
        list(walk(tmp_path))


def test_unpacking_takes_paths_from_the_chosen_folder_on(tmp_path: Path) -> None:
    big = os.urandom(3_000_000)
    seen: list[int] = []
    stream = tar(("/a/", None, tarfile.DIRTYPE), ("/a/x", b"1", tarfile.REGTYPE), ("/a/b/y", big, tarfile.REGTYPE))
    assert unpack(stream, tmp_path / "out", below="/a", seen=seen.append) == 2
    assert (tmp_path / "out/x").read_bytes() == b"1"
    assert (tmp_path / "out/b/y").read_bytes() == big
    assert sum(seen) >= len(big)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/a/../../evil", tarfile.REGTYPE),
        ("../evil", tarfile.REGTYPE),
        ("/b/x", tarfile.REGTYPE),
        ("/a/link", tarfile.SYMTYPE),
        ("/a/hard", tarfile.LNKTYPE),
        ("/a/device", tarfile.CHRTYPE),
    ],
)
def test_nothing_leads_outside(tmp_path: Path, name: str, kind: bytes) -> None:
    with pytest.raises(Corrupt):
        unpack(tar((name, b"", kind)), tmp_path / "out", below="/a", seen=unseen)
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()] == []
