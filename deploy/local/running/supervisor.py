"""The process behind `datamill up`: starts the parts, keeps them running, stops them in reverse order.

It is the only process that holds the lock of the data directory, writes run/state.json and reaps; it adopts what its
parts leave behind. It imports little, for it is always there. Elsewhere: starting it (commands.py), a part (child.py).
"""

import argparse
import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from deploy.local import database, store
from deploy.local import layout as layouts
from deploy.local.choices import Choices, reached_at, warning
from deploy.local.layout import CannotRun, Layout
from deploy.local.logs import rotate, tail
from deploy.local.running.child import Child
from deploy.local.running.orphans import kill_orphans
from deploy.local.running.parts import ROOT, plan
from deploy.local.running.ports import claim

log = logging.getLogger(__name__)
START_SECONDS = 60.0
HOPELESS = 5  # quick deaths of one part before anything was up
LOOK_AT_LOGS_SECONDS = 10.0
PR_SET_CHILD_SUBREAPER = 36


class Supervisor:
    """The parts of one instance."""

    def __init__(
        self, layout: Layout, children: Callable[[Callable[[], None]], list[Child]], address: str, shown: dict[str, str]
    ) -> None:
        self._layout, self._address, self._shown = layout, address, shown
        self._children = children(self._write_state)
        self._told_to_stop = asyncio.Event()

    async def run(self, started: Callable[[], None]) -> None:
        """Run until told to stop; `started` is called once all is up. Raises CannotRun when that takes too long."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._told_to_stop.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                keeping = [tasks.create_task(self._keep()), tasks.create_task(self._rotate())]
                try:
                    await self._until_up()
                    if not self._told_to_stop.is_set():
                        layouts.write_whole(self._layout.address_file, self._address + "\n")
                        layouts.write_whole(self._layout.port_file, self._address.rpartition(":")[2] + "\n")
                        started()
                    await self._told_to_stop.wait()
                finally:
                    for task in keeping:
                        task.cancel()
        except* CannotRun as group:
            raise group.exceptions[0] from None
        finally:
            self._layout.address_file.unlink(missing_ok=True)
            for child in reversed(self._children):
                await child.stop()

    async def _keep(self) -> None:
        """NATS first: the others would wait for it. They do not wait for one another."""
        first, *others = self._children
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(first.keep())
            await first.up.wait()
            for child in others:
                tasks.create_task(child.keep())

    async def _until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._told_to_stop.is_set():
            missing = [child for child in self._children if not child.up.is_set()]
            if not missing:
                return
            hopeless = [child for child in missing if child.quick_deaths >= HOPELESS]
            if hopeless or time.monotonic() > deadline:
                raise CannotRun(self._why(hopeless or missing))
            await asyncio.sleep(0.02)

    def _why(self, children: Sequence[Child]) -> str:
        lines = []
        for child in children:
            path = self._layout.log_of(child.part.name)
            end = f" ({child.report.last_end})" if child.report.last_end else ""
            lines.append(f"{child.part.title} does not start{end}. The end of {path}:")
            lines += [f"  {line}" for line in tail(path)]
        return "\n".join(lines)

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_LOGS_SECONDS)
            try:
                rotate(self._layout.logs)
            except OSError as error:
                log.warning("logs cannot be cut: %s", error)

    def _reap(self) -> None:
        """Several deaths may make one signal; and what the parts left behind is reaped as well."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for child in self._children:
                if child.hand_in(pid, status):
                    break

    def _write_state(self) -> None:
        state = {
            "version": layouts.VERSION,
            "pid": os.getpid(),
            "address": self._address,
            **self._shown,
            "parts": [child.as_json() for child in self._children],
        }
        try:
            layouts.write_whole(self._layout.state_file, json.dumps(state, indent=1))
        except OSError as error:  # a full disk must not stop what still works
            log.warning("%s: %s", self._layout.state_file, error)


def supervise(data_dir: Path, choices: Choices, started: Callable[[str, str], None]) -> None:
    """Run an instance until told to stop. Raises CannotRun, with nothing left running.

    started: gets its address, and a warning or "".
    """
    choices.check()
    layout = layouts.resolve(data_dir)
    layouts.refuse_unfinished(layout)
    token = layouts.prepare(layout)
    held = layouts.lock(layout)
    try:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        left = kill_orphans(layout)
        if left:
            log.warning("killed %d processes that an instance killed before had left behind", left)
        choices = replace(
            choices, database_url=_database(layout, choices.database_url), store=_store(layout, choices.store)
        )
        port = claim(choices.port, choices.beyond)
        parts = plan(layout, port=port, token=token, choices=choices)
        address = f"grpc://localhost:{port}"
        database_shown = database.shown(choices.database_url)
        shown = {"listen": reached_at(choices, port), "database": database_shown, "store": choices.store}

        async def main() -> None:
            supervisor = Supervisor(
                layout, lambda changed: [Child(part, layout, changed) for part in parts], address, shown
            )
            await supervisor.run(lambda: started(address, warning(choices, port)))

        asyncio.run(main())
    finally:
        kill_orphans(layout)
        os.close(held)


def _database(layout: Layout, given: str) -> str:
    """The address of the database server, which works; "" for SQLite. Raises CannotRun."""
    url = database.choose(layout, given)
    problem = database.check(url, ROOT) if url else None
    if problem:
        raise CannotRun(f"{problem}; start that server, or say where it is with --database-url")
    database.keep(layout, url)
    return url


def _store(layout: Layout, given: str) -> str:
    """The address of the store, which works; "" for a folder. Raises CannotRun."""
    url = store.choose(layout, given)
    problem = store.check(url, ROOT) if url else None
    if problem:
        raise CannotRun(problem)
    store.keep(layout, url)
    return url


def main(arguments: Sequence[str]) -> int:
    """`python -m deploy.local.running.supervisor`: in the foreground, or telling the outcome to a pipe and going on."""
    parser = argparse.ArgumentParser(prog="datamill up")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--allow-origin", action="append", default=[])
    parser.add_argument("--tell", type=int, help="descriptor that gets the outcome, for `up --detach`")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    layout = layouts.resolve(options.data_dir)

    choices = Choices(
        port=options.port,
        listen=options.listen,
        database_url=os.environ.get(database.VARIABLE, ""),
        store=os.environ.get(store.VARIABLE, ""),
        origins=tuple(options.allow_origin),
    )

    def started(address: str, warning: str) -> None:
        if options.tell is None:
            print(greeting(layout, address), flush=True)
            print(warning, end="\n" if warning else "", file=sys.stderr, flush=True)
        else:
            _tell(options.tell, {"address": address, "warning": warning})

    try:
        supervise(options.data_dir, choices, started)
    except CannotRun as problem:
        if options.tell is None:
            print(f"error: {problem}", file=sys.stderr)
        else:
            _tell(options.tell, {"error": str(problem)})
        return 1
    return 0


def greeting(layout: Layout, address: str) -> str:
    """What `up` prints once all is up."""
    return (
        f"datamill {layouts.VERSION} is up at {address}\n"
        f"  data  {layout.data_dir}\n  logs  {layout.logs}\n  stop  Ctrl-C, or `datamill down`"
    )


def _tell(descriptor: int, outcome: dict[str, str]) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "w") as pipe:
        json.dump(outcome, pipe)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
