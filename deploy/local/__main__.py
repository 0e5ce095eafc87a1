"""`python -m deploy.local up|down|status|doctor`: the same four commands without the client's command line."""

import argparse
import os
import sys
from pathlib import Path

from deploy.local import commands
from deploy.local.choices import LOOPBACK


def _home() -> Path:
    """Where the command line keeps an instance, too."""
    return Path(os.environ.get("DATAMILL_HOME") or Path.home() / ".datamill")


def main() -> int:
    """Read the arguments and run the command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local")
    parser.add_argument("command", choices=["up", "down", "status", "doctor"])
    parser.add_argument("--data-dir", type=Path, default=_home())
    parser.add_argument("--port", type=int, help="0: any free one; as before when left out")
    parser.add_argument("--detach", action="store_true")
    parser.add_argument("--listen", default=LOOPBACK)
    parser.add_argument("--database-url", default="")
    parser.add_argument("--store", default="")
    parser.add_argument("--allow-origin", action="append", default=[])
    options = parser.parse_args()
    match options.command:
        case "up":
            return commands.up(
                options.data_dir,
                options.port,
                options.detach,
                listen=options.listen,
                database_url=options.database_url,
                store=options.store,
                origins=options.allow_origin,
            )
        case "down":
            return commands.down(options.data_dir)
        case "status":
            return commands.status(options.data_dir)
        case _:
            return commands.doctor(options.data_dir)


if __name__ == "__main__":
    sys.exit(main())
