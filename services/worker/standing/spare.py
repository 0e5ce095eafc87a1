"""A worker that is ready before it is known for which pipeline: it has loaded everything and waits for one line.

The line is a JSON object: `env`, the variables that a worker is started with, and `log`, where it writes from then on.
When the other end goes away without a word, so does this one.
Elsewhere: who keeps spares and hands them out (services/pps/runtimes/spares.py).
"""

import json
import os
import sys


def main() -> int:
    from services.worker.__main__ import main as work  # noqa: PLC0415 - this is what takes the time

    line = sys.stdin.readline()
    if not line:
        return 0
    told = json.loads(line)
    os.environ.update(told["env"])
    output = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return work()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # as services.worker ends
