"""The process runtime with real sandboxes: who dies with whom, who comes back, and what is told of a group.

The "interpreter" of these workers is a shell that runs the group's spec, so that each test says what its workers do.
"""

import asyncio
import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.pps.runtimes import process, sandbox, starting
from services.pps.runtimes.port import Group, GroupStatus
from services.pps.runtimes.process import LOAD_AT_ONCE, ProcessRuntime
from tests.support.servers import ROOT, alive

NAME = "default/edges"
NOBODY = 65534


@pytest.fixture(scope="module", autouse=True)
def _sandboxes() -> None:
    try:
        sandbox.proc_of_its_own()
    except sandbox.NoSandbox as why:
        pytest.skip(str(why))


@pytest.fixture
def shell(tmp_path: Path) -> str:
    file = tmp_path / "shell"
    file.write_text('#!/bin/sh\nexec sh "$WORKER_SPEC"\n')
    file.chmod(0o755)
    return str(file)


def group(script: str, *, count: int = 1, version: int = 1) -> Group:
    return Group(name=NAME, version=version, count=count, spec=script.encode(), env={})


def with_runtime(root: Path, shell: str, test: Callable[[ProcessRuntime], Awaitable[None]]) -> None:
    async def go() -> None:
        runtime = ProcessRuntime(root, shell, settled=1.0)
        try:
            await test(runtime)
        finally:
            await runtime.close()

    asyncio.run(go())


async def until(holds: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until `holds` does. The condition belongs to other processes, so there is nothing to be woken by."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        await asyncio.sleep(0.02)


async def told(runtime: ProcessRuntime, what: Callable[[GroupStatus], bool]) -> GroupStatus:
    """The group's status, once `what` holds."""
    await until(lambda: (now := runtime.status(NAME)) is not None and what(now))
    status = runtime.status(NAME)
    assert status is not None
    return status


def sleeper(seconds: str) -> int:
    """The host's id of the process that sleeps so long, or 0."""
    for one in psutil.process_iter():
        try:
            if one.cmdline() == ["sleep", seconds]:
                return one.pid
        except psutil.Error:
            continue
    return 0


def hosts_own() -> list[Path]:
    """What is in the host's own /pfs, which a sandbox must neither make nor touch."""
    return sorted(Path("/").glob("pfs")) + sorted(Path("/").glob("pfs/*"))


def test_a_group_starts_is_resized_and_leaves_nothing(tmp_path: Path, shell: str) -> None:
    before = hosts_own()

    async def test(runtime: ProcessRuntime) -> None:
        await runtime.ensure(group("echo x > /pfs/.scratch/x && echo y > /pfs/y && exec sleep 1000", count=3))
        await told(runtime, lambda status: status.available == 3)
        scratch = tmp_path / "workers"
        await until(lambda: len(list(scratch.glob("*/scratch/x"))) == 3)
        await runtime.ensure(group("echo x > /pfs/.scratch/x && echo y > /pfs/y && exec sleep 1000", count=1))
        assert (await told(runtime, lambda status: status.available == 1)).requested == 1
        await runtime.stop(NAME)
        assert runtime.status(NAME) is None
        assert list(scratch.iterdir()) == []

    with_runtime(tmp_path, shell, test)
    assert hosts_own() == before


def test_a_killed_sandbox_takes_every_process_with_it_and_comes_back(tmp_path: Path, shell: str) -> None:
    seconds = str(os.getpid() + 10**6)  # a number no other test sleeps

    async def test(runtime: ProcessRuntime) -> None:
        await runtime.ensure(group(f"setsid sleep {seconds} & exec sleep 1000"))
        await until(lambda: sleeper(seconds))
        first = sleeper(seconds)
        outer = psutil.Process(first)
        while outer.name() != "bwrap" or (outer.parent() or outer).name() == "bwrap":
            outer = outer.parent() or pytest.fail("no sandbox above the process")
        outer.kill()
        await until(lambda: not alive(first))
        await until(lambda: sleeper(seconds) not in (0, first))
        assert (await told(runtime, lambda status: status.available == 1)).crash == ""

    with_runtime(tmp_path, shell, test)


def test_workers_load_a_few_at_a_time(tmp_path: Path, shell: str) -> None:
    said, go, count = tmp_path / "said", tmp_path / "go", LOAD_AT_ONCE + 3
    script = f"""
        echo begun >> {said}; while [ ! -e {go} ]; do sleep 0.05; done
        echo loaded >> {said}; rm "$WORKER_TOKEN_FILE"; exec sleep 1000"""

    def lines() -> list[str]:
        return said.read_text().split() if said.exists() else []

    async def test(runtime: ProcessRuntime) -> None:
        asked = group(script, count=count)
        await runtime.ensure(dataclasses.replace(asked, env={starting.TOKEN: "x"}))
        await until(lambda: len(lines()) >= LOAD_AT_ONCE)
        go.touch()
        await until(lambda: len(lines()) == 2 * count)

    with_runtime(tmp_path, shell, test)
    loading = itertools.accumulate(1 if line == "begun" else -1 for line in lines())
    assert max(loading) <= LOAD_AT_ONCE


def test_a_crash_loop_is_told_with_its_reason_until_a_worker_lives(tmp_path: Path, shell: str) -> None:
    mended = tmp_path / "mended"

    async def test(runtime: ProcessRuntime) -> None:
        await runtime.ensure(group(f"test -e {mended} && exec sleep 1000; echo no such licence >&2; exit 1"))
        assert (await told(runtime, lambda status: bool(status.crash))).crash == "no such licence"
        mended.touch()
        status = await told(runtime, lambda status: not status.crash)
        assert (status.available, status.fatal) == (1, "")

    with_runtime(tmp_path, shell, test)


def test_a_mistake_in_the_spec_is_fatal(tmp_path: Path, shell: str) -> None:
    async def test(runtime: ProcessRuntime) -> None:
        await runtime.ensure(group("echo there is no such user >&2; exit 78"))
        status = await told(runtime, lambda status: bool(status.fatal))
        assert (status.fatal, status.available) == ("there is no such user", 0)

    with_runtime(tmp_path, shell, test)


def test_a_worker_that_never_stops_writing_does_not_fill_the_disk(
    tmp_path: Path, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "LOG_BYTES", 10_000)
    monkeypatch.setattr(process, "SHORTEN_EVERY", 0.1)
    one = group("while :; do echo once more the same; done")
    log = tmp_path / "logs" / "default.edges-v1-0.log"

    async def test(runtime: ProcessRuntime) -> None:
        await runtime.ensure(one)
        older = log.with_suffix(".log.1")
        for _ in range(2):
            await until(older.exists)
            assert older.stat().st_size <= 10_000
            older.unlink()
        assert (await told(runtime, lambda status: status.available == 1)).crash == ""

    with_runtime(tmp_path, shell, test)


def test_sandboxes_that_an_earlier_process_has_left_are_ended(tmp_path: Path, shell: str) -> None:
    homes = [root / "workers" / "one" for root in (tmp_path, tmp_path / "other")]
    for home in homes:
        home.mkdir(parents=True)
    own = sandbox.proc_of_its_own()
    commands = [sandbox.command(home, ["sleep", "1000"], own_proc=own) for home in homes]
    with subprocess.Popen(commands[0]) as left, subprocess.Popen(commands[1]) as others:
        try:
            ProcessRuntime(tmp_path, shell)
            assert left.wait(120) == -signal.SIGKILL
            assert others.poll() is None, "they are another replica's"
        finally:
            for home in homes:
                sandbox.kill_left(home.parent)


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A folder that an ordinary user owns and reaches."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def test_an_ordinary_user_has_sandboxes_too(nobodys: Path) -> None:
    before = hosts_own()
    become: list[str] = []
    if os.getuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("setpriv is needed to become an ordinary user")
        become = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        if subprocess.run([*become, sys.executable, "-c", "import psutil"], cwd="/", check=False).returncode:
            pytest.skip("an ordinary user cannot read this environment")
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}", "PYTHONDONTWRITEBYTECODE": "1"}
    check = [*become, sys.executable, "-m", "services.pps.runtimes.process", "--check"]
    checked = subprocess.run(check, env=env, cwd="/", capture_output=True, text=True, check=False)
    if checked.returncode:
        assert "user namespaces" in checked.stderr  # an answer that says what to do
        pytest.skip(checked.stderr)
    script = "id -u; echo kept > /pfs/.scratch/kept; echo gone > /pfs/gone; test -e /tmp && ls -d /pfs"
    words = sandbox.command(nobodys, ["sh", "-c", script], own_proc=sandbox.proc_of_its_own())
    made = subprocess.run([*become, *words], cwd="/", capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.split() == [str(NOBODY if become else os.getuid()), "/pfs"]
    assert [one.name for one in nobodys.iterdir()] == ["kept"]
    assert hosts_own() == before


def test_a_worker_comes_back_whatever_its_user_code_left(tmp_path: Path, shell: str) -> None:
    """Folders in folders, more than a program calls itself."""
    deep = "import os; os.chdir('/pfs/.scratch'); [(os.mkdir('a'), os.chdir('a')) for _ in range(1500)]"
    again = f"[ -e {tmp_path}/left ] && touch {tmp_path}/again && exec sleep 1000"
    script = f'{again}\ntouch {tmp_path}/left\n{sys.executable} -c "{deep}"\nexit 1\n'

    async def test(runtime: ProcessRuntime) -> None:
        await runtime.ensure(group(script))
        await until((tmp_path / "again").exists)

    with_runtime(tmp_path / "runtime", shell, test)
    assert list((tmp_path / "runtime/workers").iterdir()) == []


def test_what_nobody_thought_of_is_a_reason_too(tmp_path: Path, shell: str) -> None:
    async def test(runtime: ProcessRuntime) -> None:
        await runtime.ensure(group("exit 1\n"))
        status = await told(runtime, lambda status: bool(status.crash))
        assert "null byte" in status.crash

    with_runtime(tmp_path / "runtime", f"{shell}\0", test)
