"""What tests rely on when they start servers: ready or a clear failure, and nothing left behind."""

import subprocess
import sys
from pathlib import Path

import nats
import pytest

from tests.support.servers import ROOT, NotReady, alive, eventually, running


def _script(text: str) -> list[str]:
    return [sys.executable, "-u", "-c", text]


def test_a_ready_process_gives_what_it_said_and_is_gone_afterwards() -> None:
    with running(_script("print('serving on 1.2.3.4:5'); import time; time.sleep(60)"), ready=r"on (\S+)") as found:
        assert found[1] == "1.2.3.4:5"
    assert found.process.poll() is not None


def test_a_process_that_ends_first_shows_its_log() -> None:
    with pytest.raises(NotReady, match="no room"), running(_script("raise SystemExit('no room')"), ready="serving"):
        pass


def test_a_grandchild_that_ignores_sigterm_is_killed_too(tmp_path: Path) -> None:
    """The grandchild writes its pid; it must be gone when the block has ended."""
    note = tmp_path / "pid"
    grandchild = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"open({str(note)!r}, 'w').write(str(os.getpid())); print('up', flush=True); time.sleep(60)"
    )
    with running(
        _script(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"), ready="up"
    ):
        pass
    eventually(lambda: not alive(int(note.read_text())), "the grandchild is gone", seconds=60)


def test_much_output_blocks_nobody() -> None:
    with running(_script("print('x' * 5_000_000); print('done'); input()"), ready="^done$") as found:
        assert found[0] == "done"


async def test_nats_has_jetstream(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    assert (await client.jetstream().account_info()).streams >= 0
    await client.close()


def test_processes_die_with_the_tests() -> None:
    code = (
        "import os, sys; from tests.support.servers import running\n"
        "child = [sys.executable, '-u', '-c', 'import os, time; print(os.getpid()); time.sleep(60)']\n"
        "with running(child, ready='(.+)') as found:\n"
        "    print(found[1], flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=ROOT)
    eventually(lambda: not alive(int(done.stdout)), "the child of killed tests is gone", seconds=60)
