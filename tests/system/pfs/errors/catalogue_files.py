"""The sentences about files (test_error_catalogue.py)."""

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.driver import put
from tests.system.pfs.errors.catalogue_world import ID, INVALID, NOT_FOUND, UNKNOWN, Case

FILES: list[Case] = [
    (
        "missing",
        lambda w: w.send("InspectFile", file=w.a.file("/no", w.id(w.a, w.F))),
        NOT_FOUND,
        "file /no not found in repo default/{a} at commit {F}",
    ),
    (
        "missing, by branch",
        lambda w: w.send("InspectFile", file=w.a.file("no")),
        NOT_FOUND,
        "file no not found in repo default/{a} at commit ",
    ),
    ("missing, to get", lambda w: w.a.read("/no"), NOT_FOUND, "file /no not found in repo default/{a} at commit "),
    (
        "missing, to walk",
        lambda w: w.send("WalkFile", file=w.a.file("/no", w.id(w.a, w.F))),
        NOT_FOUND,
        "commit/{F} does not contain item: (/no)",
    ),
    (
        "directory, to get",
        lambda w: w.a.read("/d"),
        UNKNOWN,
        "cannot get directory or non-regular file. Use GetFileTAR instead",
    ),
    ("several, to get", lambda w: w.a.read("/d/*"), UNKNOWN, "matched multiple files. Use GetFileTAR instead"),
    (
        "to a finished commit",
        lambda w: w.a.modify(put("/x", b"x"), commit=w.id(w.a, w.F)),
        UNKNOWN,
        "commit default/{a}@{F} has already finished",
    ),
    (
        "on an output branch",
        lambda w: w.q.modify(put("/x", b"x")),
        UNKNOWN,
        "cannot start a commit on an output branch: default/{q}@master",
    ),
    ("unprintable path", lambda w: w.a.modify(put("/\x7f", b"")), UNKNOWN, "path (/\x7f) invalid: {PRINTABLE}"),
    (
        "pattern as a path",
        lambda w: w.a.modify(put("/x*", b"")),
        UNKNOWN,
        "path (/x*) invalid: globbing character (*) not allowed in path",
    ),
    (
        "relative path",
        lambda w: w.a.modify(put("../x", b"")),
        UNKNOWN,
        "path (../x) invalid: relative file paths are not allowed",
    ),
    ("first message", lambda w: w.write(put("/x", b"")), UNKNOWN, "first message must be a commit"),
    ("second commit", lambda w: w.a.modify(pfs.ModifyFileRequest(set_commit=w.a.head)), UNKNOWN, "cannot set commit"),
    (
        "base unfinished",
        lambda w: w.b.read("/x", w.id(w.b, w.G)),
        UNKNOWN,
        "get file: base commit default/{b}@{F} for commit default/{b}@{G} unfinished",
    ),
    (
        "copy of nothing",
        lambda w: w.a.modify(pfs.ModifyFileRequest(copy_file=pfs.CopyFile(dst="/x"))),
        INVALID,
        "validate recv: invalid CopyFile.Src: value is required",
    ),
    ("nothing to do", lambda w: w.a.modify(pfs.ModifyFileRequest()), UNKNOWN, "unrecognized message type"),
    (
        "difference to a missing commit",
        lambda w: w.send("DiffFile", new_file=w.a.file("/", w.id(w.a, "no"))),
        NOT_FOUND,
        "check new file commit: pick commit tx: commit default/{a}@no not found\n"
        'branch "no" not found in repo default/{a}',
    ),
    (
        "difference from a missing commit",
        lambda w: w.send("DiffFile", new_file=w.a.file("/"), old_file=w.a.file("/", w.id(w.a, ID))),
        NOT_FOUND,
        "check old file commit: pick commit tx: commit default/{a}@{ID} not found\ncommit default/{a}@{ID} not found",
    ),
    (
        "pattern that ends too soon",
        lambda w: w.send("GlobFile", commit=w.a.head, pattern="["),
        UNKNOWN,
        "glob (/[) invalid: unexpected end of input",
    ),
    (
        "page backwards without a length",
        lambda w: w.send("ListFile", file=w.a.file("/"), reverse=True),
        UNKNOWN,
        "number must be > 0 when reverse is true",
    ),
    (
        "page of less than nothing",
        lambda w: w.send("WalkFile", file=w.a.file("/"), number=-1),
        UNKNOWN,
        "number must not be negative",
    ),
    (
        "page that is too long",
        lambda w: w.send("ListFile", file=w.a.file("/"), number=100_001),
        UNKNOWN,
        "cannot return more than 100000 files at a time",
    ),
    ("nothing to compare", lambda w: w.send("DiffFile"), UNKNOWN, "file cannot be nil"),
    ("nowhere to send it", lambda w: w.send("Egress", commit=w.a.head), UNKNOWN, "egress failed"),
    ("none to inspect", lambda w: w.send("InspectFile"), UNKNOWN, "file cannot be nil"),
    ("none to list", lambda w: w.send("ListFile"), UNKNOWN, "file cannot be nil"),
    ("none to walk", lambda w: w.send("WalkFile"), UNKNOWN, "file cannot be nil"),
    ("none to get", lambda w: w.send("GetFile"), UNKNOWN, "get file: file cannot be nil"),
    ("no commit to glob", lambda w: w.send("GlobFile", pattern="*"), UNKNOWN, "commit cannot be nil"),
    (
        "file without a commit",
        lambda w: w.send("InspectFile", file=pfs.File(path="/x")),
        UNKNOWN,
        "commit cannot be nil",
    ),
]
