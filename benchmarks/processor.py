"""Processor time of an instance by process: where others use the machine, too, that is what compares."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

USER_CODE, WORKER = "user code", "worker"


@dataclass(frozen=True)
class Processor:
    """User and system time since `started`, by role. folder: of the instance, by which its processes are known."""

    folder: str
    before: Mapping[str, float]

    @classmethod
    def started(cls, folder: str) -> "Processor":
        return cls(folder, _taken(folder))

    def per(self, count: int) -> dict[str, float]:
        """What was taken since, by role, in ms for each of `count`."""
        taken = _taken(self.folder)
        return {role: 1e3 * (taken[role] - self.before.get(role, 0.0)) / count for role in taken}


def said(spent: Mapping[str, float]) -> str:
    """All of it together, and who took most."""
    most = sorted(spent, key=lambda role: -spent[role])[:5]
    return f"{sum(spent.values()):.2f} ms ({', '.join(f'{role} {spent[role]:.2f}' for role in most)})"


def _taken(folder: str) -> Mapping[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for process, role in _roles(folder).items():
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[role] += times.user + times.system
            if role == WORKER:  # what it started and has waited for
                found[USER_CODE] += times.children_user + times.children_system
    return found


def _roles(folder: str) -> dict[psutil.Process, str]:
    """The processes of an instance: which part each is. Those below a worker are user code."""
    found: dict[psutil.Process, str] = {}
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if folder in " ".join(process.cmdline()):
                for each in (process, *process.children(recursive=True)):
                    found.setdefault(each, _role(each))
    for process in [process for process, role in found.items() if role == WORKER]:
        with suppress(psutil.NoSuchProcess):
            found |= dict.fromkeys(process.children(recursive=True), USER_CODE)
    return found


def _role(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
        if process.name() == "bwrap" or "-m" not in words:
            return process.name()
    except psutil.NoSuchProcess:
        return USER_CODE
    module = words[words.index("-m") + 1].split(".")
    return module[1] if module[0] == "services" else module[-1]
