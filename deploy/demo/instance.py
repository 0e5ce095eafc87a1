"""An instance that lives as long as the demo: a temporary directory, a free port, gone at the end whatever happens."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60.0
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class NotStarted(Exception):
    """The instance does not start; the text is what it said."""


@contextmanager
def instance(data_dir: Path, *, keep_logs: Path) -> Iterator[str]:
    """Run an instance during the block; yields its address. When the block fails, its logs are copied to keep_logs.

    Its user code finds this interpreter first, which has the packages that the example needs. Raises NotStarted.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.local", "up", "--data-dir", str(data_dir), "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for the demo, which then stops the instance in order
        preexec_fn=_stop_with_demo,  # noqa: PLW1509 - one system call
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        if " is up at " not in said:
            raise NotStarted(said + process.stdout.read())
        yield said.split()[-1]
    except BaseException:
        shutil.copytree(data_dir / "logs", keep_logs, dirs_exist_ok=True)
        raise
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _stop_with_demo() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
