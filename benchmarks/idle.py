"""What an instance costs that nobody uses: memory and processor of every process, without workers."""

import time

import psutil

from benchmarks.instance import instance
from benchmarks.report import Figure

SECONDS = 20.0
GOAL_BYTES, GOAL_CORE = 500e6, 0.02


def run() -> list[Figure]:
    with instance() as up:
        time.sleep(5)  # start-up work is over
        processes = [process for process in psutil.process_iter(["cmdline"]) if _belongs(process, str(up.folder))]
        before = sum(_cpu(process) for process in processes)
        time.sleep(SECONDS)
        core = (sum(_cpu(process) for process in processes) - before) / SECONDS
        resident = sum(process.memory_info().rss for process in processes)
    return [
        Figure(what=f"idle instance, {len(processes)} processes, resident", ours=f"{resident / 1e6:.0f} MB",
               goal="< 500 MB", reached=resident < GOAL_BYTES),
        Figure(what="idle instance, processor", ours=f"{core * 100:.2f} % of one core",
               goal="< 2 %", reached=core < GOAL_CORE),
    ]  # fmt: skip


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _belongs(process: psutil.Process, folder: str) -> bool:
    try:
        return folder in " ".join(process.cmdline()) or process.environ().get("DATAMILL_INSTANCE", "") == folder
    except psutil.Error:
        return False
