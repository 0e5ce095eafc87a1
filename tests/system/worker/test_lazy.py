"""Inputs without content of their own: pipes that are filled when opened, empty files, links from /pfs/out to them."""

import sys
from typing import Any

from datamill.wire import pps_v2_pb2 as pps
from tests.system.worker.conftest import Start
from tests.system.worker.doubles import Double, datum
from tests.system.worker.test_sets import FAILED, SUCCESS, shell


def lazily(*lines: str, **more: Any) -> pps.PipelineInfo:
    info = shell(*lines, **more)
    info.details.input.pfs.name, info.details.input.pfs.lazy = "in", True
    return info


def test_only_what_is_opened_is_read(double: Double, start: Start) -> None:
    big = bytes(range(256)) * (40 << 10)
    files = {f"/d/{number:03d}": b"file %d" % number for number in range(300)}
    double.put(files | {"/d/sub/big": big, "/d/huge": b"h" * 200_000, "/d/empty": b""})
    double.put({"/d/never": b"its pack is gone"})
    double.pack_path(double.files["/d/never"].extents[0].pack_id).unlink()
    double.give(datum(1, "/d/", size=1 << 40, lazy=True))
    script = [
        "cd /pfs/in/d",
        "test -p 000 && test -p sub/big && test -p never && ls | wc -l > /pfs/out/count",
        "cat 001 002 001 > /pfs/out/some",  # one of them twice
        "cp sub/big /pfs/out/big; cat empty > /pfs/out/empty",
        "head -c 3 huge > /pfs/out/start",  # goes away early
        f"{sys.executable} -c '\n"
        'files = [open(f"{n:03d}", "rb") for n in range(3, 300)]\n'  # all open at once, the last one read first
        'open("/pfs/out/all", "wb").write(b"".join(f.read() for f in reversed(files)))\n'
        "'",
        "ln -s /pfs/in/d/sub /pfs/out/linked; ln -s /pfs/in/d/never /pfs/out/unread",
    ]
    # what the link "unread" names is copied by name: its bytes are never asked for
    with start(lazily("set -e", *script)):
        answer = double.done()
    result = answer.results[0]
    assert result.state == SUCCESS, result.reason
    double.put({"/d/never": b"its pack is gone"})
    entries = {entry.path: entry.content for entry in double.file_sets[answer.output_file_set_id]}
    assert entries["/unread"].digest == double.files["/d/never"].digest
    outputs = {path: double.read(what) for path, what in entries.items() if path != "/unread"}
    assert outputs == {
        "/count": b"304\n", "/some": b"file 1file 2file 1", "/big": big, "/empty": b"", "/start": b"hhh",
        "/all": b"".join(files[f"/d/{n:03d}"] for n in reversed(range(3, 300))), "/linked/big": big,
    }  # fmt: skip
    opened = sum(len(files[f"/d/{n:03d}"]) for n in (1, 2, 1, *range(3, 300))) + len(big) + 200_000
    assert result.stats.download_bytes == opened
    meta = [entry.path for entry in double.file_sets[answer.meta_file_set_id]]
    assert f"/pfs/{1:064x}/out/some" in meta
    assert not [path for path in meta if path.startswith(f"/pfs/{1:064x}/in/")]


def test_a_lazy_file_that_cannot_be_had_gives_the_set_back(double: Double, start: Start) -> None:
    double.put({"/f": b"1"})
    double.pack_path(double.files["/f"].extents[0].pack_id).unlink()
    double.give(datum(1, "/f", lazy=True))
    with start(lazily("cat $in > /pfs/out/f")):
        double.wait_for(lambda: double.returned)
    assert "cannot be read: No such file or directory" in double.returned[0].reason


def test_links_from_out_lead_where_user_code_sees_them_lead(double: Double, start: Start) -> None:
    double.put({"/d/a": b"a" * 10, "/d/b/c": b"c" * 20})
    double.give(datum(1, "/d/", empty=True), datum(2, "/d/"), datum(3, "/d/"), datum(4, "/d/"))
    script = [
        'case "$PACH_DATUM_ID" in *3) ln -s /pfs/in/nothing /pfs/out/dangling; exit;;',
        "*4) ln -s nowhere /pfs/out/dangling; exit;; esac",
        'd=/pfs/out/${PACH_DATUM_ID##*0}; mkdir "$d"; cd "$d"',
        "ln -s /pfs/in/d/a absolute; ln -s ../../in/d/a relative; ln -s /pfs/in/d folder",
        "echo own > own; ln -s own to_own; ln -s $d/own to_out; ln -s ../../in/d/b rel_folder",
    ]
    with start(shell(*script)):
        answer = double.done()
    empty, full, gone, nowhere = answer.results
    assert (empty.state, full.state, gone.state, nowhere.state) == (SUCCESS, SUCCESS, FAILED, FAILED), empty.reason
    wanted = {
        "absolute": b"a" * 10, "relative": b"a" * 10, "folder/a": b"a" * 10, "folder/b/c": b"c" * 20,
        "own": b"own\n", "to_own": b"own\n", "to_out": b"own\n", "rel_folder/c": b"c" * 20,
    }  # fmt: skip
    outputs = double.content_of(answer.output_file_set_id)
    assert outputs == {f"/{n}/{path}": data for n in (1, 2) for path, data in wanted.items()}
    assert (empty.stats.download_bytes, empty.stats.upload_bytes) == (0, 3 * len("own\n"))
    assert gone.reason.endswith("/dangling is a link to /pfs/in/nothing, which does not exist")
    assert nowhere.reason.endswith("/dangling is a link to nowhere, which does not exist")
