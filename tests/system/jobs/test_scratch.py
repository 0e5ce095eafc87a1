"""Folders for plans in the making: what a crash left goes, what another process uses stays."""

from pathlib import Path

from services.jobs.storage.scratch import plans_folder
from services.kit.objects.opening import open_store


def test_a_process_that_starts_removes_what_crashed_ones_left_and_nothing_else(tmp_path: Path) -> None:
    objects = open_store(tmp_path.as_uri())
    with plans_folder(objects) as mine:
        (mine / "half.plan").write_bytes(b"x")
        (mine.parent / "left").mkdir()
        (mine.parent / "left" / "old.plan").write_bytes(b"x")
        (mine.parent / "older.plan").write_bytes(b"x")
        with plans_folder(objects) as other:
            assert (mine / "half.plan").exists()
            assert sorted(mine.parent.iterdir()) == sorted([mine, other])
    assert not list(mine.parent.iterdir())
