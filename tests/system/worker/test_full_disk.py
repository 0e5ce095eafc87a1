"""The disk that a worker lays its files on is full, or becomes read-only: the worker lives on and says why it waits.

The disk is a small file system in memory. Elsewhere: a store that takes nothing (test_troubles.py).
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.patience import eventually
from tests.system.worker.conftest import Start
from tests.system.worker.doubles import Double, datum
from tests.system.worker.test_sets import FAILED, SUCCESS, shell
from tests.system.worker.test_troubles import wait_for_file

SIZE = 8 << 20
BIG = b"x" * (5 << 20)
FULL, READ_ONLY = "there is no room left on the disk", "the disk is read-only"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder)]
    try:
        made = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Use all of it up."""
    path = disk / "elsewhere"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 65536) == 65536:
                pass
        except OSError:
            return path
    return path


def given_back(double: Double, times: int) -> str:
    """The reason, which the job's log has, too."""
    double.wait_for(lambda: len(double.returned) == times)
    reason = double.returned[-1].reason
    double.wait_for(lambda: f"the datum set is given back: {reason}" in double.texts())
    return reason


def test_inputs_without_room_wait_until_there_is_some(double: Double, start: Start, disk: Path) -> None:
    double.put({"/f": BIG})
    with start(shell('cp "$in" /pfs/out/'), disk=disk / "scratch", keep_trying="0.3", memory_bytes=0) as worker:
        double.wait_for(lambda: double.calls["LeaseSet"])
        elsewhere = fill(disk)
        double.give(datum(1, "/f"))
        assert given_back(double, 1).startswith(f"cannot lay out a datum's inputs: {FULL}")
        assert worker.process.poll() is None
        elsewhere.unlink()
        double.put({"/f": BIG[: 1 << 20]})
        double.give(datum(2, "/f"))
        answer = double.done()
    assert [result.state for result in answer.results] == [SUCCESS]
    assert double.content_of(answer.output_file_set_id) == {"/f": BIG[: 1 << 20]}


def test_user_code_that_fills_the_disk_fails_its_own_datum_only(double: Double, start: Start, disk: Path) -> None:
    double.put({"/f": b"1", "/greedy": b"2", "/h": b"3"})
    double.give(*(datum(number, path) for number, path in enumerate(("/f", "/greedy", "/h"))))
    script = f'case "$in" in *greedy) head -c {2 * SIZE} /dev/zero > /pfs/out/zeros ;; *) cp "$in" /pfs/out/ ;; esac'
    with start(shell(script, datum_tries=2), disk=disk / "scratch"):
        answer = double.done()
        double.wait_for(lambda: any("No space left on device" in text for text in double.texts("stderr")))
    assert [result.state for result in answer.results] == [SUCCESS, FAILED, SUCCESS]
    assert double.content_of(answer.output_file_set_id) == {"/f": b"1", "/h": b"3"}
    assert not double.returned


def test_datums_ahead_without_room_are_laid_out_when_the_one_before_is_done(
    double: Double, start: Start, disk: Path, tmp_path: Path
) -> None:
    double.put({"/f": BIG, "/g": BIG})
    double.give(datum(1, "/f"), datum(2, "/g"))
    go = tmp_path / "go"
    script = f"while ! test -e {go}; do sleep 0.05; done; basename $in > /pfs/out/$(basename $in)"
    with start(shell(script), disk=disk / "scratch", keep_trying="0.3", memory_bytes=0) as worker:
        worker.wait_for(f"no datum is laid out ahead any more: cannot lay out a datum's inputs: {FULL}")
        go.touch()
        answer = double.done()
    assert [result.state for result in answer.results] == [SUCCESS] * 2
    assert double.content_of(answer.output_file_set_id) == {"/f": b"f\n", "/g": b"g\n"}
    assert not double.returned, "what is done is not done again"


def test_a_disk_that_becomes_read_only_is_waited_for(double: Double, start: Start, disk: Path, tmp_path: Path) -> None:
    double.put({"/f": b"1"})
    ready, go = tmp_path / "ready", tmp_path / "go"
    script = f"touch {ready}; while ! test -e {go}; do sleep 0.05; done; cp $in /pfs/out/"
    with start(shell(script, datum_tries=1), disk=disk / "scratch", keep_trying="0.3", memory_bytes=0) as worker:
        double.give(datum(1, "/f"))
        wait_for_file(ready)
        remount(disk, "ro")
        go.touch()
        assert double.done(1).results[0].state == FAILED, "user code could not write"
        assert any("Read-only file system" in text for text in double.texts("stderr"))
        double.give(datum(2, "/f"))
        assert READ_ONLY in given_back(double, 1)
        assert worker.process.poll() is None
        remount(disk, "rw")
        double.give(datum(3, "/f"))
        answer = double.done(2)
        assert [result.state for result in answer.results] == [SUCCESS]
        assert double.content_of(answer.output_file_set_id) == {"/f": b"1"}
        eventually(lambda: {path.name for path in (disk / "scratch").iterdir()} <= {"out", "stdin", "err_stdin"})
