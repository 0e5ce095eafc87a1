"""Which datums run: the merge against a model; and how they are cut into sets."""

from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain.datums import DatumState
from services.jobs.domain.planning.plans import Fate, Known, SetRule, cut_sets, fates

ids = st.binary(min_size=1, max_size=1)
hashes = st.sampled_from([b"1", b"2"])
states = st.sampled_from([DatumState.SUCCESS, DatumState.FAILED, DatumState.RECOVERED])


@given(st.dictionaries(ids, hashes), st.dictionaries(ids, st.tuples(hashes, states)), st.booleans())
def test_the_merge_is_what_a_look_at_each_datum_gives(
    wanted: dict[bytes, bytes], base: dict[bytes, tuple[bytes, DatumState]], every_job: bool
) -> None:
    def fate(id: bytes) -> Fate:
        if id not in base:
            return Fate.NEW
        if id not in wanted:
            return Fate.GONE
        same = base[id] == (wanted[id], DatumState.SUCCESS)
        return Fate.SKIP if same and not every_job else Fate.RERUN

    known = [Known(id, hash, state) for id, (hash, state) in sorted(base.items())]
    found = list(fates(sorted(wanted.items()), known, every_job=every_job))
    assert found == [(id, fate(id)) for id in sorted(wanted.keys() | base.keys())]


rules = st.builds(SetRule, st.integers(0, 5), st.integers(0, 50), st.integers(0, 3))


@given(st.lists(st.integers(0, 30)), rules, st.integers(1, 4))
def test_sets_hold_every_datum_once_and_keep_to_the_rule(sizes: list[int], rule: SetRule, workers: int) -> None:
    cut = list(cut_sets([(size, 1) for size in sizes], rule, to_run=len(sizes), workers=workers))
    assert sum(cut) == len(sizes)
    assert all(cut)
    at = 0
    for length in cut:
        part = sizes[at : at + length]
        if rule.number:
            assert length <= rule.number
        if rule.size_bytes:
            assert sum(part[:-1]) < rule.size_bytes
        at += length


def test_without_a_rule_each_worker_gets_four_sets() -> None:
    assert list(cut_sets([(1, 1)] * 80, SetRule(), to_run=80, workers=2)) == [10] * 8
    assert list(cut_sets([(1, 1)] * 3, SetRule(), to_run=3, workers=2)) == [1, 1, 1]
    assert list(cut_sets([(1, 1)] * 80, SetRule(per_worker=1), to_run=80, workers=2)) == [40, 40]


def test_number_and_size_cut_as_said() -> None:
    assert list(cut_sets([(1, 1)] * 7, SetRule(number=3), to_run=7, workers=1)) == [3, 3, 1]
    assert list(cut_sets([(5, 1), (5, 1), (5, 1), (20, 1), (1, 1)], SetRule(size_bytes=10), to_run=5, workers=1)) == [
        2,
        2,
        1,
    ]


def test_a_set_stays_small_enough_to_be_handed_out() -> None:
    assert list(cut_sets([(1, 1)] * 5000, SetRule(), to_run=5000, workers=1)) == [1250] * 4
    assert list(cut_sets([(1, 1)] * 10_000, SetRule(), to_run=10_000, workers=1)) == [2000] * 5
    assert list(cut_sets([(1, 1)] * 10_000, SetRule(number=9000), to_run=10_000, workers=1)) == [9000, 1000]
    large = [(1, 3 << 20)] * 5 + [(1, 9 << 20)] * 2
    assert list(cut_sets(large, SetRule(number=100), to_run=7, workers=1)) == [2, 2, 1, 1, 1]
