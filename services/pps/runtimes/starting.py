"""Starting one sandboxed worker, and stopping it. Elsewhere: keeping a group (process.py), spares (spares.py)."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from services.pps.runtimes import sandbox

STOP_SECONDS = 3.0
LOADING_SECONDS, LOOK_AGAIN = 10.0, 0.02
TOKEN, TOKEN_FILE = "WORKER_SERVICE_TOKEN", "WORKER_TOKEN_FILE"  # not in the environment, which user code sees in /proc
SECRET = frozenset({"DATAMILL_DATABASE_URL", "DATAMILL_STORE", "POSTGRES_PASSWORD"})
LOG_BYTES = 4 << 20  # of each worker twice: what is newest, and what was before that


async def start(
    home: Path,
    inner: list[str],
    log: Path,
    env: Mapping[str, str],
    *,
    private: Sequence[str] = (),
    stdin: int = asyncio.subprocess.DEVNULL,
) -> asyncio.subprocess.Process:
    """Run `inner` in a sandbox with a scratch folder in `home`. log: where it writes. Raises NoSandbox, OSError."""
    await asyncio.to_thread(_fresh, home / "scratch")
    own_proc = await asyncio.to_thread(sandbox.proc_of_its_own)
    words = sandbox.command(home / "scratch", inner, own_proc=own_proc, private=private)
    inherited = {k: value for k, value in os.environ.items() if not k.startswith("PPS_") and k not in SECRET}
    own = dict(env)
    if token := own.pop(TOKEN, ""):
        (home / "token").write_text(token)
        (home / "token").chmod(0o600)
        own[TOKEN_FILE] = str(home / "token")
    shorten(log)
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *words, stdin=stdin, stdout=output, stderr=output, env={**inherited, **own}, start_new_session=True
        )


async def loaded(home: Path, process: asyncio.subprocess.Process) -> None:
    """Wait until a worker that was just started has loaded its code, which is when it takes its token away."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOADING_SECONDS):
            while process.returncode is None and (home / "token").exists():  # noqa: ASYNC110 (it has no other word)
                await asyncio.sleep(LOOK_AGAIN)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ask the worker to go, then kill its sandbox, and with it everything inside."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
    with suppress(ProcessLookupError, PermissionError):  # a sandbox that had just begun has a part that hears of no end
        os.killpg(process.pid, 9)


def remove(folder: Path) -> None:
    """Remove a folder, as far as it can be; user code may have nested others in it without end. Blocks."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(("rm", "-rf", "--", str(folder)), check=False, capture_output=True)


def _fresh(folder: Path) -> None:
    remove(folder)
    folder.mkdir(parents=True, exist_ok=True)


def shorten(path: Path) -> None:
    """Keep the end of what was written so far, so that a worker that never stops writing does not fill the disk.

    The file itself stays, for the worker has it open for appending.
    """
    with suppress(OSError):  # it is not there, or the disk is in trouble: no reason to have no worker
        if (size := path.stat().st_size) > LOG_BYTES:
            before = path.with_suffix(".log.1")
            try:
                with path.open("rb") as file:
                    file.seek(size - LOG_BYTES)
                    before.write_bytes(file.read(LOG_BYTES))
            except OSError:
                before.unlink(missing_ok=True)
            os.truncate(path, 0)
