"""Runs the benchmarks that are named, or all of them, and prints one table."""

import importlib
import os
import platform
import sys

import psutil

from benchmarks.report import Figure, show

ROOMS = {
    "folder_import": "transfers.folder_import",
    "against_dvc": "transfers.against_dvc",
    "bulk": "transfers.bulk",
    "small_commit": "small_commit",
    "jobs": "pipelines.jobs",
    "batching": "pipelines.batching",
    "plans": "pipelines.plans",
    "chain": "pipelines.chain",
    "standby": "pipelines.standby",
    "handover": "pipelines.handover",
    "logs": "pipelines.logs",
    "idle": "idle",
    "sorted_map": "sorted_map",
    "object_store": "transfers.object_store",
    "goals": "goals.table",
}
"""Where each benchmark is, below this folder; in the order in which they run."""


def main(names: list[str]) -> int:
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # its fork handlers abort children now and then; ours only exec
    unknown = set(names) - set(ROOMS)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(ROOMS)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in names or ROOMS:
        print(f"… {name}", file=sys.stderr)
        figures += importlib.import_module(f"benchmarks.{ROOMS[name]}").run()
    memory = psutil.virtual_memory().total / 2**30
    print(f"{platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}\n")
    show(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
