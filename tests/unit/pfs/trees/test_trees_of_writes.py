"""Writes, layers, trees and readings against a dictionary that does the same.

A step is what one stream does: puts that append, deletes, recursive deletes. Layers are merged in any grouping, the
tree is built in one go or grown, and every reading must answer as the dictionary would.
"""

import tarfile
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.objects.local import LocalObjects
from services.kit.sortedmap.rows import EMPTY
from services.pfs.domain.files.globs import compile_glob
from services.pfs.domain.files.paths import key_of, split_key
from services.pfs.domain.keys import CommitRef, RepoKey
from services.pfs.operations.files.contents import file_bytes, tar
from services.pfs.operations.files.diff import changes
from services.pfs.operations.files.read import Page, Reading
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.tree_views import TreeView
from services.pfs.operations.files.upload import Delete, Put, Upload, Write
from services.pfs.operations.finishing.merge import carry_out, first_trouble, merged_parts
from services.pfs.storage.content import layers
from services.pfs.storage.content.layers import Part, decode_parts, encode_parts
from services.pfs.storage.content.trees import Overlay

REF = CommitRef(RepoKey("default", "r"), "0" * 32)
Model = dict[tuple[str, str], bytes]

NAMES = st.sampled_from(["a", "b", "a-x", "a.b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
DATUMS = st.sampled_from(["default", "other"])
PUTS = st.tuples(st.just("put"), PATHS, DATUMS, st.binary(max_size=5))
DELETES = st.tuples(st.sampled_from(["delete", "delete below"]), PATHS, DATUMS, st.just(b""))
STEPS = st.lists(st.lists(st.one_of(PUTS, PUTS, DELETES), max_size=6), max_size=5)
Step = list[tuple[str, str, str, bytes]]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores.over(LocalObjects(tmp_path_factory.mktemp("store")))


def put(path: str, datum: str, data: bytes) -> Put:
    return Put(key_of(path, datum), data)


def apply_to_model(model: Model, step: Step) -> None:
    for what, path, datum, data in step:
        if what == "put":
            model[path, datum] = model.get((path, datum), b"") + data
        elif what == "delete":
            model.pop((path, datum), None)
        else:
            for key in [key for key in model if key[0].startswith(path + "/") and key[1] == datum]:
                del model[key]


def upload(stores: Stores, step: Step, visible: TreeView | None) -> list[Part]:
    writes: list[Write] = []
    for what, path, datum, data in step:
        if what == "put":
            writes.append(put(path, datum, data))
        else:
            writes.append(Delete(path, datum, what == "delete below", visible))
    stream = Upload(stores)
    stream.apply(writes)
    return decode_parts(encode_parts(stream.finish()))


def grown(stores: Stores, view: TreeView, parts: list[Part]) -> TreeView:
    overlay = view.reader
    assert isinstance(overlay, Overlay)
    root, put = carry_out(stores, overlay, overlay.content, view.root, merged_parts(stores, parts), overlay.sink())
    return TreeView(REF, root, overlay, overlay.content, trouble=first_trouble(overlay, root, put))


def empty(stores: Stores) -> TreeView:
    overlay = Overlay(stores.trees)
    return TreeView(REF, EMPTY, overlay, overlay.content)


def contents(stores: Stores, view: TreeView) -> Model:
    found: Model = {}
    for row in Reading(view).rows(b"", None):
        data = b"".join(file_bytes(stores, view.content(row)))
        assert (row.size, row.digest) == (len(data), blake3(data).digest())
        found[split_key(row.key)] = data
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_layers_make_the_tree_that_the_writes_make(stores: Stores, steps: list[Step]) -> None:
    model: Model = {}
    view, every = empty(stores), list[Part]()
    for step in steps:
        parts = upload(stores, step, view)
        apply_to_model(model, step)
        view, every = grown(stores, view, parts), every + parts
        assert contents(stores, view) == model
    at_once = grown(stores, empty(stores), every)
    assert at_once.root.id == view.root.id


def test_a_stream_may_delete_many_directories_that_it_wrote_itself(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is looked for where its keys may lie, and not among all that was written."""
    monkeypatch.setattr("services.pfs.operations.files.upload.SPILL_OPS", 2000)
    monkeypatch.setattr(layers, "FRAME_OPS", 100)
    decompressed = Mock(wraps=layers._decompressed)
    monkeypatch.setattr(layers, "_decompressed", decompressed)
    names = [f"/{number:06}" for number in range(4000)]
    stream = Upload(stores)
    stream.apply([put(f"{name}/{file}", "default", b"") for name in names for file in "abc"])
    stream.apply([put("/000001/kept", "other", b"")])
    stream.apply([Delete(name, "default", recursive=True) for name in names[:-1]])
    assert decompressed.call_count < 1000
    model = contents(stores, grown(stores, empty(stores), stream.finish()))
    assert set(model) == {("/000001/kept", "other"), *((f"{names[-1]}/{file}", "default") for file in "abc")}


def test_a_difference_from_an_open_commit_costs_the_change(stores: Stores) -> None:
    below = empty(stores)
    sink = stores.trees.sink()
    ops = merged_parts(stores, upload(stores, [("put", f"/{at:06}", "default", b"x") for at in range(20_000)], None))
    root, _ = carry_out(stores, stores.trees.reader, stores.trees.content, below.root, ops, sink)
    base = TreeView(REF, root, stores.trees.reader, stores.trees.content)
    overlay = Overlay(stores.trees)
    view = TreeView(REF, root, overlay, overlay.content)
    view = grown(stores, view, upload(stores, [("put", "/000005", "default", b"y")], None))
    opened = stores.trees.reader.opened
    found = [pair[0].path for pair in changes(Reading(view), Reading(base), "/", "/") if pair[0] is not None]
    assert found == [b"/", b"/000005"]
    assert stores.trees.reader.opened - opened < 20


def directories(model: Model) -> set[str]:
    found = {"/"} if model else set()
    for path, _ in model:
        names = path.split("/")[1:-1]
        found |= {"/" + "/".join(names[: depth + 1]) + "/" for depth in range(len(names))}
    return found


def sound(model: Model) -> Model:
    """One datum a path, and no path that is file and directory."""
    files: Model = {}
    for (path, _), data in model.items():
        others = {other for other, _ in files}
        if not any(other.startswith(path + "/") or path.startswith(other + "/") or other == path for other in others):
            files[path, "default"] = data
    return files


def view_of(stores: Stores, model: Model) -> TreeView:
    return grown(stores, empty(stores), upload(stores, [("put", *key, data) for key, data in model.items()], None))


MODELS = st.dictionaries(st.tuples(PATHS, st.just("default")), st.binary(max_size=3), max_size=12).map(sound)


@settings(max_examples=80, deadline=None)
@given(MODELS, PATHS, st.sampled_from(["*", "**", "/a*", "*/*", "**b", "/", "a/*", "{a,b}/**", "*/*/*"]))
def test_readings_answer_as_the_model(stores: Stores, model: Model, path: str, pattern: str) -> None:
    reading = Reading(view_of(stores, model))
    everything = sorted([key for key, _ in model] + list(directories(model)), key=str.encode)
    walked = [stat.path.decode() for stat in reading.walk("/", Page())]
    assert walked == everything
    for stat in reading.walk("/", Page()):
        below = [data for (name, _), data in model.items() if name.encode().startswith(stat.path)]
        if stat.row is None:
            assert stat.size == sum(map(len, below))
    children = [stat.path.decode() for stat in reading.children(path, Page())]
    expected = [
        p for p in everything if p.startswith(path + "/") and p != path + "/" and "/" not in p[len(path) + 1 : -1]
    ]
    assert children == ([path] if (path, "default") in model else expected)
    glob = compile_glob(pattern)
    assert [visit[0].decode() for visit in reading.glob(glob)] == [
        p for p in everything if glob.matches(p.rstrip("/").encode())
    ]


CUTS = st.one_of(PATHS, PATHS.map(lambda path: path + "/"), PATHS.map(lambda path: path + "0"), st.just("/"))


@settings(max_examples=120, deadline=None)
@given(MODELS, st.sampled_from(["/", "*", "**", "/a*", "a/*", "{a,b}", "b/**", "*/*"]), st.lists(CUTS, max_size=3))
def test_adjacent_ranges_of_paths_partition_what_a_pattern_brings(
    stores: Stores, model: Model, pattern: str, cuts: list[str]
) -> None:
    reading, glob = Reading(view_of(stores, model)), compile_glob(pattern)
    paths = [path for path, _ in model] + list(directories(model))
    matched = [path for path in paths if glob.matches(path.rstrip("/").encode())]
    tops = [path for path in matched if path.endswith("/")]
    below = [path for path in paths if path in matched or any(path.startswith(top) for top in tops)]
    bounds = ["", *sorted(cuts, key=str.encode), ""]
    for low, high in pairwise(bounds):
        low_raw, high_raw = low.encode(), high.encode()

        def inside(path: str, low: bytes = low_raw, high: bytes = high_raw) -> bool:
            return low <= path.encode() and (not high or path.encode() < high)

        found = [path.decode() for path, _ in reading.glob_below(glob, low_raw, high_raw)]
        assert found == sorted(filter(inside, below), key=str.encode)
        found = [path.decode() for path, _ in reading.glob(glob, low_raw, high_raw)]
        assert found == sorted(filter(inside, matched), key=str.encode)


@settings(max_examples=60, deadline=None)
@given(MODELS, st.integers(1, 4), st.data())
def test_pages_are_slices_of_the_whole_in_both_directions(
    stores: Stores, model: Model, number: int, data: st.DataObject
) -> None:
    reading = Reading(view_of(stores, model))
    for listing in (reading.walk, reading.children):
        whole = [stat.path for stat in listing("/", Page())]
        if not whole:
            continue
        marker = data.draw(st.sampled_from(whole))
        index = whole.index(marker)
        assert [stat.path for stat in listing("/", Page(marker, number))] == whole[index + 1 : index + 1 + number]
        back = [stat.path for stat in listing("/", Page(marker, number, reverse=True))]
        assert back == whole[:index][::-1][:number]
        assert [stat.path for stat in listing("/", Page(b"", number, reverse=True))] == whole[::-1][:number]


@settings(max_examples=60, deadline=None)
@given(MODELS, MODELS)
def test_a_difference_names_exactly_what_differs(stores: Stores, before: Model, after: Model) -> None:
    old, new = Reading(view_of(stores, before)), Reading(view_of(stores, after))
    pairs = list(changes(new, old, "/", "/"))
    files = {
        (now or was).path.decode(): (now is not None, was is not None)  # type: ignore[union-attr]
        for now, was in pairs
        if (now or was).row is not None  # type: ignore[union-attr]
    }
    assert files == {
        path: ((path, d) in after, (path, d) in before)
        for path, d in before.keys() | after.keys()
        if before.get((path, d)) != after.get((path, d))
    }
    said = [(now or was).path for now, was in pairs]  # type: ignore[union-attr]
    assert said == sorted(said)
    assert len(said) == len(set(said))
    changed = {path.rsplit("/", depth)[0] + "/" for path in files for depth in range(1, path.count("/") + 1)}
    assert {path.decode() for path in said if path.endswith(b"/")} == changed


@settings(max_examples=120, deadline=None)
@given(MODELS, MODELS, PATHS, st.sampled_from(["", "default", "other"]))
def test_a_difference_below_a_path_is_that_of_two_walks(
    stores: Stores, before: Model, after: Model, path: str, datum: str
) -> None:
    sides = [Reading(view_of(stores, model), datum) for model in (before, after)]
    old, new = [
        {stat.path: stat.digest for stat in (reading.walk(path, Page()) if reading.inspect(path) else ())}
        for reading in sides
    ]
    expected = [
        (name, name in new, name in old) for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)
    ]
    pairs = changes(sides[1], sides[0], path, path)
    found = [((now or was).path, now is not None, was is not None) for now, was in pairs]  # type: ignore[union-attr]
    assert found == expected


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.tuples(PATHS, DATUMS), st.just(b"x"), max_size=10))
def test_trouble_is_found_and_the_first_is_named(stores: Stores, model: Model) -> None:
    found: list[tuple[bytes, str]] = []
    for path in {path for path, _ in model}:
        if {(path, "default"), (path, "other")} <= model.keys():
            text = f"duplicate path output by different datums ({path} from default and {path} from other)"
            found.append((path.encode(), text))
        if any(other.startswith(path + "/") for other, _ in model):
            found.append((path.encode(), f"file / directory path collision ({path})"))
    trouble = view_of(stores, model).trouble
    wanted = min((path for path, _ in found), default=None)
    named = "" if trouble is None else trouble.text
    assert named in ({text for path, text in found if path == wanted} or {""})


def test_trouble_that_a_small_change_makes_in_a_large_tree_is_found(stores: Stores) -> None:
    many = {(f"/d{n % 50}/f{n}", "default"): b"x" for n in range(3000)}
    view = view_of(stores, many)
    for path, text in [("/d7", "(/d7)"), ("/d7/f7/below", "(/d7/f7)")]:
        small = grown(stores, view, upload(stores, [("put", path, "default", b"")], None))
        assert small.trouble is not None
        assert small.trouble.text == f"file / directory path collision {text}"
    other = grown(stores, view, upload(stores, [("put", "/d7/f7", "late", b"")], None))
    assert other.trouble is not None
    assert "(/d7/f7 from default and /d7/f7 from late)" in other.trouble.text
    assert grown(stores, view, upload(stores, [("put", "/d7/f7-x", "default", b"")], None)).trouble is None


def test_big_files_are_cut_and_come_back_and_appending_reuses_chunks(stores: Stores) -> None:
    big = blake3(b"seed").digest(length=21 << 20)
    view = empty(stores)
    stream = Upload(stores)
    stream.apply([put("/big", "default", big[at : at + (2 << 20)]) for at in range(0, len(big), 2 << 20)])
    view = grown(stores, view, stream.finish())
    (row,) = Reading(view).rows(b"", None)
    content = view.content(row)
    assert len(content.extents) > 5
    assert max(extent.size for extent in content.extents) <= 4 << 20
    assert b"".join(file_bytes(stores, content)) == big
    for offset in (0, 1, content.extents[0].size, len(big) - 1, len(big), len(big) + 5):
        assert b"".join(file_bytes(stores, content, offset)) == big[offset:]
    whole = Upload(stores)
    whole.apply([put("/big", "default", big)])
    (again,) = Reading(grown(stores, empty(stores), whole.finish())).rows(b"", None)
    assert again.digest == row.digest == blake3(big).digest()
    more = grown(stores, view, upload(stores, [("put", "/big", "default", b"tail")], None))
    assert contents(stores, more) == {("/big", "default"): big + b"tail"}


def test_a_tar_holds_the_files_and_directories_in_order(stores: Stores, tmp_path: Path) -> None:
    model = {("/a", "default"): b"one", ("/d/b", "default"): b"", ("/d/e/" + "n" * 120, "default"): b"x" * 3000}
    reading = Reading(view_of(stores, model))
    visits = reading.glob_below(compile_glob("/"))
    data = b"".join(tar(stores, reading, visits))
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        names = [(member.name, member.isdir(), member.mode, member.mtime) for member in archive.getmembers()]
        assert [name for name, *_ in names] == ["", "/a", "/d", "/d/b", "/d/e", "/d/e/" + "n" * 120]
        member = archive.getmember("/a")
        found = archive.extractfile(member)
        assert found is not None
        assert found.read() == b"one"
        assert all((mode, mtime) == (0, 0) for _, _, mode, mtime in names)
