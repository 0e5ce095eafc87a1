"""Which files of /pfs/out are output. Real folders, for links and pipes are the point."""

import os
import socket
from pathlib import Path

import pytest

from datamill.wire import content_v1_pb2 as content
from services.worker.datums.bench import NameBudget
from services.worker.inputs.layout import LaidOut
from services.worker.inputs.scratch import Scratch
from services.worker.outputs.collecting import BadOutput, check_name, collect


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    made = Scratch(tmp_path / "pfs", run_as=None, memory_bytes=1 << 20, out_in_memory=False)
    made.fresh_out()
    return made


@pytest.fixture
def out(scratch: Scratch) -> Path:
    return Path(scratch.out)


def found(scratch: Scratch, laid: LaidOut | None = None, empty: frozenset[str] = frozenset()) -> dict[str, str]:
    outputs = collect(scratch, laid or LaidOut(0, scratch.place("d", 0), 0), empty)
    return {output.path: "known" if output.known else Path(output.real).read_text() for output in outputs}


def test_files_at_any_depth_and_nothing_else(scratch: Scratch, out: Path) -> None:
    (out / "a" / "b").mkdir(parents=True)
    (out / "a" / "b" / "c").write_text("deep")
    (out / "top").write_text("top")
    (out / "void").mkdir()
    os.mkfifo(out / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(out / "s"))
        assert found(scratch) == {"/a/b/c": "deep", "/top": "top"}


def test_links_give_what_they_lead_to(scratch: Scratch, out: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "sub").mkdir(parents=True)
    (elsewhere / "f").write_text("outside")
    (elsewhere / "sub" / "g").write_text("below")
    (out / "sub").mkdir()
    (out / "real").write_text("inside")
    (out / "file").symlink_to(elsewhere / "f")
    (out / "folder").symlink_to(elsewhere)
    (out / "sub" / "relative").symlink_to("../real")
    assert found(scratch) == {
        "/file": "outside",
        "/folder/f": "outside",
        "/folder/sub/g": "below",
        "/real": "inside",
        "/sub/relative": "inside",
    }


def test_a_link_to_an_input_without_content_is_its_content(scratch: Scratch, out: Path) -> None:
    place = scratch.place("d", 0)
    os.makedirs(f"{place}/in/d")
    Path(f"{place}/in/d/f").touch()
    os.symlink(f"{place}/in", f"{scratch.root}/in")
    (out / "f").symlink_to(f"{scratch.root}/in/d/f")
    (out / "all").symlink_to(f"{scratch.root}/in/d")
    laid = LaidOut(0, place, 0, files=[("in", "/d/f", content.Content(size_bytes=5))])
    outputs = {item.path: item.known for item in collect(scratch, laid, frozenset({"in"}))}
    assert outputs["/f"] == content.Content(size_bytes=5)
    assert outputs["/all/f"] == content.Content(size_bytes=5)


def test_dangling_links_and_circles_are_named(scratch: Scratch, out: Path) -> None:
    (out / "x").symlink_to("/nowhere/at/all")
    with pytest.raises(BadOutput, match=r"/x is a link to /nowhere/at/all, which does not exist"):
        found(scratch)
    (out / "x").unlink()
    (out / "loop").symlink_to(".")
    with pytest.raises(BadOutput, match=r"/loop is a link into a circle"):
        found(scratch)
    (out / "loop").unlink()
    (out / "self").symlink_to("self")
    with pytest.raises(BadOutput, match="/self is a link to self"):
        found(scratch)


def test_folders_that_were_closed_are_opened(scratch: Scratch, out: Path) -> None:
    (out / "shut").mkdir()
    (out / "shut" / "f").write_text("x")
    (out / "shut").chmod(0)
    assert found(scratch) == {"/shut/f": "x"}


REFUSED = "cannot upload file produced by the user code because its name cannot be represented in PFS: "


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/a*b", "path (/a*b) invalid: globbing character (*) not allowed in path"),
        ("/d/(x)", "path (/d/(x)) invalid: globbing character (() not allowed in path"),
        ("/tab\t", "path (/tab\t) invalid: only printable ASCII characters allowed"),
        ("/ü", "path (/ü) invalid: only printable ASCII characters allowed"),
        (os.fsdecode(b"/\xff"), "path (/\\xff) invalid: only printable ASCII characters allowed"),
    ],
)
def test_names_that_cannot_be_stored(path: str, why: str) -> None:
    with pytest.raises(BadOutput) as caught:
        check_name(path)
    assert str(caught.value) == REFUSED + why


@pytest.mark.parametrize("path", ["/a b", "/~x", "/.hidden", "/a..b", "/'\"#%\\:,=&$"])
def test_names_that_can(path: str) -> None:
    check_name(path)


def test_out_is_emptied_and_the_same_for_the_next_datum(scratch: Scratch, out: Path) -> None:
    before = out.stat().st_ino
    (out / "shut").mkdir()
    (out / "shut" / "f").write_text("x")
    (out / "shut").chmod(0)
    out.chmod(0o500)
    scratch.fresh_out()
    assert (os.listdir(out), out.stat().st_ino, out.stat().st_mode & 0o777) == ([], before, 0o777)
    os.rmdir(out)
    out.write_text("a file in its place")
    scratch.fresh_out()
    assert out.is_dir()


def test_pfs_shows_one_datum_and_nothing_else(scratch: Scratch) -> None:
    root = Path(scratch.root)
    (root / "left").mkdir()
    (root / "left" / "over").touch()
    place = scratch.place("d", 0)
    scratch.link(place, frozenset({"in"}), b"A=1\n")
    assert sorted(os.listdir(root)) == [".env", ".memory", ".scratch", "in", "out"]
    assert (root / ".env").read_bytes() == b"A=1\n"
    assert (root / "in").is_dir()
    (root / "stray").touch()
    (root / "in").unlink()
    scratch.link(scratch.place("e", 0), frozenset({"in"}), b"A=2\n")
    assert sorted(os.listdir(root)) == [".env", ".memory", ".scratch", "in", "out"]
    assert (root / ".env").read_bytes() == b"A=2\n"
    assert os.path.realpath(root / "in").endswith("-e/in")
    scratch.link(scratch.place("f", 0), frozenset({"other"}), b"")
    assert sorted(os.listdir(root)) == [".env", ".memory", ".scratch", "other", "out"]
    scratch.clear()
    assert sorted(os.listdir(root)) == [".memory", ".scratch"]
    assert not os.path.exists(place)


def test_names_of_outputs_have_a_budget() -> None:
    budget = NameBudget(left=20)
    budget.take(["/12345"])
    with pytest.raises(BadOutput, match="put fewer datums into a set"):
        budget.take(["/12345", "/1"])
    budget.take(["/12345"])


@pytest.mark.parametrize("depth", [1200, 3000])
def test_folders_in_folders_without_end_fail_the_datum_and_go(scratch: Scratch, out: Path, depth: int) -> None:
    """More of them than a program calls itself, and than a path can say."""
    inner = os.open(out, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=inner)
        outer, inner = inner, os.open("a", os.O_RDONLY, dir_fd=inner)
        os.close(outer)
    os.close(os.open(".deep-1", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
    os.close(inner)
    with pytest.raises(BadOutput, match="nested too deeply"):
        found(scratch)
    scratch.fresh_out()
    assert os.listdir(out) == []
    assert found(scratch) == {}
