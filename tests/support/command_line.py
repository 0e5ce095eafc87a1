"""The program `datamill` as a user starts it: a process of its own, its output and its exit code."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.servers import ROOT

SECONDS = 120.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What `--raw` printed: an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class CommandLine:
    """Runs commands in `folder`, against `address` unless that is empty."""

    folder: Path
    address: str = ""
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *args: str, stdin: str | bytes = b"", seconds: float = SECONDS) -> Done:
        done = subprocess.run(
            command(*args),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def ok(self, *args: str, stdin: str | bytes = b"") -> Done:
        """A command that must succeed, and say nothing on standard error."""
        done = self.run(*args, stdin=stdin)
        assert (done.code, done.err) == (0, ""), f"{args}: {done}"
        return done

    def environment(self) -> dict[str, str]:
        mine = {"DATAMILL_HOME": str(self.folder / "home"), "PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}"}
        if self.address:
            mine["DATAMILL_ADDRESS"] = self.address
        kept = {key: value for key, value in os.environ.items() if not key.startswith("DATAMILL_")}
        return {**kept, **mine, **self.environ}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "datamill.cli.main", *args]
