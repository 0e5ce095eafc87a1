"""Logs are cut in place, the newest kept first; a tail reads the end only."""

import os
from pathlib import Path

from deploy.local.logs import open_log, rotate, tail


def test_a_log_over_the_limit_is_cut_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "pfs.log"
    descriptor = open_log(log)
    for number in range(5):
        os.write(descriptor, f"{number}".encode() * 10)
        rotate(tmp_path, max_bytes=5, keep=3)
    os.write(descriptor, b"new")
    os.close(descriptor)
    assert log.read_text() == "new"
    assert [tmp_path.joinpath(f"pfs.log.{n}").read_text()[0] for n in (1, 2, 3)] == ["4", "3", "2"]
    assert not tmp_path.joinpath("pfs.log.4").exists()


def test_a_small_log_is_left(tmp_path: Path) -> None:
    (tmp_path / "pfs.log").write_text("12345")
    rotate(tmp_path, max_bytes=5)
    assert [path.name for path in tmp_path.iterdir()] == ["pfs.log"]


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert tail(log) == []
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert tail(log, 2) == ["line 99998", "line 99999"]
