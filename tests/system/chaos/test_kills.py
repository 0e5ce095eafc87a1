"""Kill -9 of anything at any moment, and of everything at once: the DAG still ends with the outputs it has in peace.

Five pipelines (two measures over the same files, their join, a group, a summary) run on a whole instance. Outputs are
a function of the inputs, so their hashes tell whether anything was lost or counted twice.
"""

import hashlib
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.servers import free_port
from tests.system.chaos.dag import PIPELINES, Dag, names_of, wanted_outputs

SEED = 20260101
KILLS = 14
FILES = 24
PAUSE = (0.15, 0.9)  # seconds between kills


@contextmanager
def up(folder: Path, port: int) -> Iterator[None]:
    """A whole instance on `folder`."""
    control = [sys.executable, "-m", "datamill.cli.main"]
    subprocess.run(
        [*control, "up", "--data-dir", str(folder), "--port", str(port), "--detach"], check=True, timeout=120
    )
    try:
        yield
    finally:
        subprocess.run([*control, "down", "--data-dir", str(folder)], check=True, timeout=120)


def processes(folder: Path, *, supervisor: bool = False) -> dict[int, psutil.Process]:
    """Everything of the instance that runs now: services, NATS, gateway, workers, user code."""
    found = {}
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("DATAMILL_INSTANCE") == str(folder)
            words = process.cmdline()
        except psutil.Error:
            continue
        leads = "deploy.local.supervisor" in words
        if (mine and not leads) or (leads and supervisor and str(folder) in words):
            found[process.pid] = process
    return found


def kill_one(folder: Path, draw: random.Random) -> str:
    """Kill one of them: first a kind is drawn, or the many workers would take every turn. Returns which."""
    kinds: dict[str, list[psutil.Process]] = {}
    for process in processes(folder).values():
        kinds.setdefault(_kind(process), []).append(process)
    victim = draw.choice(kinds[draw.choice(sorted(kinds))])
    try:
        name = _kind(victim)
        victim.kill()
    except psutil.Error:
        return "one that had just ended"
    return name


def _kind(process: psutil.Process) -> str:
    """A service, a server, a sandbox, or else user code, by its name."""
    try:
        words = process.cmdline()
        return words[2] if words[1:2] == ["-m"] else process.name()
    except (psutil.Error, IndexError):
        return "one that had just ended"


def check_counts(dag: Dag, id: str) -> None:
    """Every job of the set succeeded, and each datum counts exactly once."""
    for name in names_of(PIPELINES):
        info = dag.job(name, id)
        assert info.state == pps.JOB_SUCCESS, f"{name}: {info.reason}"
        done = info.data_processed + info.data_skipped + info.data_failed + info.data_recovered
        assert done == info.data_total, f"{name}: {info}"
        assert len(dag.datums(name, id)) == info.data_total


def test_any_process_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    port, killed = free_port(), list[str]()
    with up(tmp_path, port), Dag.connected(f"127.0.0.1:{port}") as dag:
        dag.make()
        contents = {f"/f{number:02d}": b"%d " % number * 50 for number in range(FILES)}
        enough = threading.Event()

        def keep_killing() -> None:
            for _ in range(KILLS):
                if enough.wait(draw.uniform(*PAUSE)):
                    return
                killed.append(kill_one(tmp_path, draw))

        killer = threading.Thread(target=keep_killing)
        killer.start()
        try:
            first = dag.commit(contents)
            contents["/f00"] = b"changed"
            del contents["/f01"]
            second = dag.commit({"/f00": contents["/f00"]}, removed=["/f01"])
            killer.join()
            dag.wait(second)
        finally:
            enough.set()
            killer.join()
        assert killed
        print("killed:", *killed, sep="\n  ")
        assert dag.outputs(second) == wanted_outputs(contents)
        check_counts(dag, first)
        check_counts(dag, second)


def test_a_whole_instance_killed_in_the_middle_goes_on_after_up(tmp_path: Path) -> None:
    port = free_port()
    contents = {f"/f{number:02d}": b"%d " % number * 50 for number in range(FILES)}
    with up(tmp_path, port), Dag.connected(f"127.0.0.1:{port}") as dag:
        dag.make()
        id = dag.commit(contents)
        eventually(lambda: dag.job("lines", id).data_processed > 0 or dag.job("lines", id).state != pps.JOB_RUNNING)
        for process in processes(tmp_path, supervisor=True).values():
            _kill(process)
    eventually(lambda: not processes(tmp_path, supervisor=True))
    with up(tmp_path, port), Dag.connected(f"127.0.0.1:{port}") as dag:
        dag.wait(id)
        assert dag.outputs(id) == wanted_outputs(contents)
        check_counts(dag, id)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def test_the_expected_outputs_depend_on_every_input() -> None:
    """The oracle itself: another input gives other hashes, or the two tests above could not fail."""
    one, other = wanted_outputs({"/a": b"1"}), wanted_outputs({"/a": b"2 2"})
    assert {name: one[name] == other[name] for name in one} == dict.fromkeys(names_of(PIPELINES), False)
    assert hashlib.sha256(b"1").hexdigest() in str(one)
