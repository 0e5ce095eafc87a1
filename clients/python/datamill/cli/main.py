"""The program `datamill`: runs a command and turns whatever goes wrong into one line and an exit code.

0 done; 1 the server said no, or a job or commit failed; 2 wrong use; 3 no answer from the server; 130 interrupted;
141 nobody reads the output any more.
"""

import gc
import os
import re
import sys
from contextlib import suppress

import click
import grpc

from datamill.cli.session import ReaderLeft, Unsuccessful
from datamill.cli.verbs import root
from datamill.errors import DatamillError, Invalid, NotFound, Timeout, Unavailable, Unsupported

FAILED, WRONG_USE, NO_ANSWER, INTERRUPTED, NO_READER = 1, 2, 3, 130, 141
MISSING = re.compile(r"\b(pipeline|branch|repo|project|job) [^:]*not found")


def main() -> None:
    """Run the command line."""
    gc.set_threshold(100_000, 20, 20)  # a run may hold a great many small values to its end, and hardly any cycles
    code = run(sys.argv[1:])
    if code == INTERRUPTED:  # a thread may be reading standard input, and Python would abort over its lock
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def run(args: list[str]) -> int:
    """Run one command; the exit code. Never raises for what a user may do wrong."""
    try:
        code = root.main(args, prog_name="datamill", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (BrokenPipeError, ReaderLeft):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at exit
        return NO_READER
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(error.format_message() + "\n")
        return 0
    except click.ClickException as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
        return _say(error.format_message() + hint, WRONG_USE)
    except (Unavailable, Timeout) as error:
        return _say(f"{error}{_next(error)}", NO_ANSWER)
    except DatamillError as error:
        asked = isinstance(error.__cause__, grpc.RpcError)
        local = isinstance(error, Invalid) and not asked
        return _say(f"{error}{_next(error)}", WRONG_USE if local else FAILED)
    except Unsuccessful as error:
        return _say(str(error), FAILED)
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}" if error.filename else str(error), FAILED)
    except Exception as error:  # a mistake of ours
        if os.environ.get("DATAMILL_TRACEBACK"):
            raise
        return _say(f"unexpected {type(error).__name__}: {error} (DATAMILL_TRACEBACK=1 shows where)", FAILED)


def _say(text: str, code: int) -> int:
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    text = text.replace("Use GetFileTAR instead", "Use -r to get a folder or several files")
    text = text.removesuffix(" at commit ")  # a branch was asked for, and the protocol's sentence wants an id
    text = ": ".join(line.strip() for line in text.split("\n"))
    sys.stderr.write(f"datamill: {text}\n")
    return code


def _next(error: DatamillError) -> str:
    """What to do about it, where that is known."""
    text = error.message
    if isinstance(error, Unavailable) and "no datamill answers" in text:
        return "; start one with `datamill up`, or say where it is with --address or DATAMILL_ADDRESS"
    if isinstance(error, NotFound) and (missing := MISSING.search(text)):
        return f"; `datamill list {missing[1]}` shows what there is"
    if isinstance(error, Unsupported):
        return " (this server does not offer it)"
    return ""


if __name__ == "__main__":
    main()
