"""The peer in the benchmark of jobs: Dask runs a command for each file. Prints the seconds it took.

Runs in the environment of the peers: python dask_tasks.py WORKERS SOURCE TARGET COMMAND…
File and target are added to the command.
"""

import subprocess
import sys
import time
from pathlib import Path

from distributed import Client, LocalCluster


def copy(path: str, target: str, command: list[str]) -> int:
    return subprocess.run([*command, path, target], check=True).returncode


def main() -> None:
    workers, source, target = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        client.gather(client.map(str.upper, ["warm"] * workers))
        paths = [str(path) for path in Path(source).iterdir()]
        begun = time.perf_counter()
        client.gather(client.map(copy, paths, target=target, command=sys.argv[4:], pure=False))
        print(time.perf_counter() - begun)


if __name__ == "__main__":
    main()
