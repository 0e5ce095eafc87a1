"""Runs the benchmarks that are named, or all of them, and prints one table."""

import importlib
import platform
import sys

import psutil

from benchmarks.report import Figure, show

ALL = ("folder_import", "bulk", "small_commit", "jobs", "logs", "idle", "sorted_map", "object_store", "goals")
ROOMS = {
    "folder_import": "transfers.folder_import",
    "bulk": "transfers.bulk",
    "object_store": "transfers.object_store",
    "goals": "goals.table",
}


def main(names: list[str]) -> int:
    unknown = set(names) - set(ALL)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in names or ALL:
        print(f"… {name}", file=sys.stderr)
        figures += importlib.import_module(f"benchmarks.{ROOMS.get(name, name)}").run()
    memory = psutil.virtual_memory().total / 2**30
    print(f"{platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}\n")
    show(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
