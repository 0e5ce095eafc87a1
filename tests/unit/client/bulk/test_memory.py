"""What is remembered of uploads comes back as it was kept, also when several commands keep at once."""

import sqlite3
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from datamill.bulk.recalling import memory
from datamill.bulk.recalling.columns import NOWHERE, Known, Look, Table, encoded, pack_and_offset, place
from datamill.bulk.recalling.memory import Chunk, Memory

PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
LONG = st.integers(-(2**63), 2**63 - 1)
KNOWN = st.builds(
    Known,
    PATHS,
    st.builds(Look, st.integers(0, 2**63 - 1), LONG, LONG, st.integers(0, 2**64 - 1)),
    st.binary(min_size=32, max_size=32),
    st.builds(place, st.binary(min_size=16, max_size=16), st.integers(0, 2**64 - 1)),
    st.binary(max_size=40),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(KNOWN, max_size=6), max_size=4))
def test_files_come_back_as_they_were_kept(batches: list[list[Known]]) -> None:
    table, wanted = Table(), dict[str, Known]()
    for batch in batches:
        table.add(encoded(batch))
        wanted |= {known.path: known for known in batch}
    order = table.in_order()
    assert [table.known(row) for row in order] == [wanted[path] for path in sorted(wanted)]
    again = Table()
    again.add(table.encoded(order))
    assert [again.known(row) for row in again.in_order()] == [wanted[path] for path in sorted(wanted)]
    assert b"".join(table.digests(order)) == b"".join(wanted[path].digest for path in sorted(wanted))


def test_a_place_is_a_pack_and_an_offset() -> None:
    assert pack_and_offset(place(b"p" * 16, 7)) == (b"p" * 16, 7)
    assert pack_and_offset(NOWHERE) == (bytes(16), 0)


def known(path: str, size: int = 1) -> Known:
    return Known(path, Look(size, 2, 3, 4), bytes(32))


def paths(place: Path) -> dict[str, int]:
    found = Memory(place)
    sizes = {path: found.table.looks[row][0] for path, row in found.table.rows.items()}
    found.close()
    return sizes


def test_what_another_command_keeps_meanwhile_stays(tmp_path: Path) -> None:
    at = tmp_path / "memory.sqlite"
    first = Memory(at)
    first.keep([known("a"), known("b"), known("c"), known("d")])
    first.close()
    one, two = Memory(at), Memory(at)
    two.keep([known("a", 9), known("e")])
    one.tidy({one.table.rows["b"], one.table.rows["c"]})  # which writes anew what it has read
    assert paths(at) == {"a": 9, "d": 1, "e": 1}
    two.tidy({two.table.rows["d"], two.table.rows["b"], two.table.rows["c"]})
    assert paths(at) == {"a": 9, "e": 1}
    one.close()
    two.close()


def test_many_batches_become_one(tmp_path: Path) -> None:
    at = tmp_path / "memory.sqlite"
    first = Memory(at)
    for number in range(memory.MANY_BATCHES + 1):
        first.keep([known(f"{number:05}")])
    first.close()
    second = Memory(at)
    second.tidy(set())
    second.close()
    with sqlite3.connect(at) as base:
        assert base.execute("SELECT count(*) FROM batches").fetchone() == (1,)
    assert len(paths(at)) == memory.MANY_BATCHES + 1


def test_chunks_are_forgotten_with_their_packs(tmp_path: Path) -> None:
    at = tmp_path / "memory.sqlite"
    one = Memory(at)
    one.keep([], [(b"x", Chunk(b"p", 1, 2)), (b"y", Chunk(b"q", 3, 4))])
    one.forget({b"p"})
    assert one.chunks() == {b"y": Chunk(b"q", 3, 4)}
    one.close()


def test_a_damaged_batch_is_as_good_as_none(tmp_path: Path) -> None:
    at = tmp_path / "memory.sqlite"
    Memory(at).close()
    with sqlite3.connect(at) as base:
        base.execute("INSERT INTO batches (files) VALUES (?)", (b"\5\0\0\0\1\0\0\0a",))
    assert paths(at) == {}
