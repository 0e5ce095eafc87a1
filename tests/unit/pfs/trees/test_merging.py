"""Merging sorted runs of writes: one op a key, the later run on top, and no run opened before its turn."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from services.pfs.domain.files.entries import APPEND, REMOVE, REPLACE, Extent, Op, fold
from services.pfs.domain.files.layers import merged

KEYS = st.integers(0, 30).map(lambda number: b"/%02d" % number)
RUNS = st.lists(st.dictionaries(KEYS, st.sampled_from([APPEND, REMOVE, REPLACE]), max_size=12), max_size=6)


def ops(number: int, run: dict[bytes, int]) -> list[Op]:
    piece = Extent(b"p" * 16, number, 1, 0, 1, bytes(32))
    return [Op(key, kind, () if kind == REMOVE else (piece,)) for key, kind in sorted(run.items())]


@given(RUNS, st.booleans())
def test_merging_folds_the_ops_of_each_key_in_the_order_of_the_runs(
    drawn: list[dict[bytes, int]], is_known: bool
) -> None:
    runs, wanted = [ops(number, run) for number, run in enumerate(drawn)], dict[bytes, Op]()
    for run in runs:
        for op in run:
            wanted[op.key] = fold(wanted[op.key], op) if op.key in wanted else op
    found = merged([(run[0].key if is_known and run else b"", run) for run in runs])
    assert list(found) == [wanted[key] for key in sorted(wanted)]


def test_runs_that_follow_one_another_are_opened_one_at_a_time() -> None:
    opened, ended = 0, 0

    def run(start: int) -> Iterator[Op]:
        nonlocal opened, ended
        opened += 1
        assert opened - ended <= 2, "one to go on with, and perhaps one that has just ended"
        yield from (Op(b"/%04d" % number, REMOVE) for number in range(start, start + 10))
        ended += 1

    found = list(merged([(b"/%04d" % start, run(start)) for start in (20, 0, 10, 30)]))
    assert [op.key for op in found] == [b"/%04d" % number for number in range(40)]
