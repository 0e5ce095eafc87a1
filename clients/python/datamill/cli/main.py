"""The program `datamill`: runs a command and turns whatever goes wrong into one line and an exit code.

0 done; 1 the server said no, or a job or commit failed; 2 wrong use; 3 no answer from the server; 130 interrupted;
141 nobody reads the output any more.
"""

import gc
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress

import click
import grpc

from datamill.cli.session import ReaderLeft, Unsuccessful, home
from datamill.cli.specs.mistakes import Mistaken
from datamill.cli.verbs import root
from datamill.errors import DatamillError, Invalid, NotFound, Timeout, Unavailable, Unsupported
from datamill.names import DEFAULT_PROJECT
from datamill.transport import DEFAULT_ADDRESS

FAILED, WRONG_USE, NO_ANSWER, INTERRUPTED, NO_READER = 1, 2, 3, 130, 141

IN_FRONT = (  # what the protocol puts in front of a sentence that says the same, or names what it does inside
    re.compile(r"(error getting|cannot find) project [^:]*: (?=project )"),
    re.compile(r"could not get pipeline information for [^:]*: (?=pipeline )"),
    re.compile(r"(get file|get file set|invalid project name|validate DAG at end of transaction): "),
    re.compile(r"list branch in transaction: for each branch: "),
    re.compile(r"apply edits: (?=edit )"),
    re.compile(r"pick commit tx: "),
)


def _outputs(branches: str) -> str:
    """Branches without those of meta repos, which come with the others."""
    return " ".join([one for one in branches.split() if ".meta@" not in one] or branches.split())


INSTEAD: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # the protocol's sentences about what it keeps inside, and wants of programs
    (re.compile(r"repo \(id=0, project=(.+?), name=(.+?), type=user\)"), r"repo \1/\2"),
    (re.compile(r"repo \(id=0, project=(.+?), name=(.+?), type=(.+?)\)"), r"repo \1/\2.\3"),
    (re.compile(r"branch \(id=0, branch=(.+?)\)"), r"branch \1"),
    (re.compile(r"commit/(\w+) does not contain item: \((.*)\)"), r"file \2 not found in commit \1"),
    (re.compile(r"no commits found for commitset "), "no commit has the id "),
    (re.compile(r"edit #\d+: edit \w+ \S+: (?=.*not found)"), ""),
    (re.compile(r"use the drop operation instead"), "use `datamill delete commit` instead"),
    (
        re.compile(r"cannot (squash|drop) commit \((\S+)\) with subvenance without recursive"),
        r"cannot \1 commit \2, which others were made from: -r removes these, too",
    ),
    (
        re.compile(r"commit set (\S+) cannot be dropped because it has subvenant commit sets: \[(.*)\]"),
        r"change \1 cannot be removed: the changes [\2] were made from it",
    ),
    (
        re.compile(r"because it's in the direct provenance of \[(.*)\]"),
        lambda found: f"because [{_outputs(found[1])}] derive from it; -f deletes it nevertheless",
    ),
    (re.compile(r"cycle detected because (\S+) is already in the subvenance of (\S+)"), r"\1 derives from \2 already"),
    (re.compile(r"Use GetFileTAR instead"), "Use -r to get a folder or several files"),
    (re.compile(r" at commit$"), ""),  # a branch was asked for, and the protocol's sentence wants an id
)
ELSEWHERE = "or say where it is with --address or DATAMILL_ADDRESS"
AWAY = re.compile(r"upstream connect error|no healthy upstream|upstream request timeout")  # the gateway's own words
NO_COMMIT = re.compile(r"pick commit tx: commit \S+ not found$")
MISSING = tuple(
    (re.compile(words), noun)
    for words, noun in (
        (r'branch "[^"]*" not found in repo (?P<repo>\S+)', "branch"),
        (r"commit (?P<repo>\S+)@\S+ not found", "commit"),
        (r"\brepo (?P<project>\S+)/[^/\s]+ not found", "repo"),
        (r'\bpipeline "(?P<project>\S+)/[^/\s]+" not found', "pipeline"),
        (r"\bproject [^:]*not found", "project"),
        (r"\bjob [^:]*not found", "job"),
        (r"could not get job information for ", "job"),
        (r'\bsecrets "[^"]*" not found', "secret"),
    )
)
"""What is missing, and which list shows what there is."""
NEXT = tuple(
    (re.compile(words), hint)
    for words, hint in (
        (r'^pipeline "[^"]+" already exists$', "`datamill update pipeline` changes it"),
        (r"^failed to create secret: .* already exists$", "to change its values, delete it and create it anew"),
        (r"because a repo with the same name already exists$", "choose another name, or delete the repo if it can go"),
        (r"^pipeline doesn't have a cron input$", "`datamill rerun pipeline` makes a job of any pipeline"),
        (r"^datum matching filter .* could not be found", "only what runs now can be tried again"),
        (r"^cannot start a commit on an output branch", "only the pipeline's jobs write there"),
        (r"has only \d+ versions?, ", "`datamill list pipeline --history all` shows them"),
    )
)
"""What to do about a refusal."""


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
        return _say(" ".join(error.format_message().split()).replace("Choose from: ", "choose from ") + hint, WRONG_USE)
    except (Unavailable, Timeout) as error:
        return _say(told(error), NO_ANSWER)
    except Mistaken as error:
        return _say_all(error.lines, WRONG_USE)
    except DatamillError as error:
        asked = isinstance(error.__cause__, grpc.RpcError)
        local = isinstance(error, Invalid) and not asked
        return _say(told(error), WRONG_USE if local else FAILED)
    except Unsuccessful as error:
        return _say_all(error.args, FAILED)
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}" if error.filename else str(error), FAILED)
    except Exception as error:  # a mistake of ours
        if os.environ.get("DATAMILL_TRACEBACK"):
            raise
        return _say(f"unexpected {type(error).__name__}: {error} (DATAMILL_TRACEBACK=1 shows where)", FAILED)


def _say_all(texts: Iterable[str], code: int) -> int:
    for text in texts:
        _say(text, code)
    return code


def _say(text: str, code: int) -> int:
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    text = ": ".join(line.strip() for line in text.split("\n"))
    sys.stderr.write(f"datamill: {text}\n")
    return code


def told(error: DatamillError) -> str:
    """What the server said, once and in the words of this program, and what to do about it."""
    if isinstance(error, Unavailable) and AWAY.search(error.message):
        return "the service that answers this is away, perhaps only starting again: `datamill status` shows how it is"
    text = _plain(error.message)
    return f"{text}{_next(error, text)}"


def _plain(text: str) -> str:
    """A sentence of the protocol without what it says twice: first with its inner names, then with its own."""
    lines = [line.strip() for line in text.split("\n")]
    if len(lines) > 1 and NO_COMMIT.search(lines[0]):
        del lines[0]  # the next says why
    if len(lines) > 1 and any("(id=0, " not in line for line in lines):
        lines = [line for line in lines if "(id=0, " not in line]
    first, *more = dict.fromkeys(map(_in_our_words, lines))
    front = first[: first.rfind(": ") + 2] if ": " in first else ""
    if front and more and all(line.startswith(front) for line in more):
        return ", ".join([first, *(line.removeprefix(front) for line in more)])
    return ": ".join([first, *more])


def _in_our_words(line: str) -> str:
    for words in IN_FRONT:
        line = words.sub("", line, count=1)
    for words, ours in INSTEAD:
        line = words.sub(ours, line)
    return line


def _where(missing: re.Match[str]) -> str:
    """What the list of a noun is to be told of where something was missing."""
    given = missing.groupdict()
    if repo := given.get("repo"):
        return f" {repo.removeprefix(f'{DEFAULT_PROJECT}/')}"
    project = given.get("project", DEFAULT_PROJECT)
    return "" if project == DEFAULT_PROJECT else f" --project {project}"


def _next(error: DatamillError, text: str) -> str:
    if isinstance(error, Unavailable) and "no datamill answers" in text:
        if f"answers at {DEFAULT_ADDRESS}" in text and not os.environ.get("DATAMILL_ADDRESS"):
            return f", and no instance is running on {home()}; start one with `datamill up`, {ELSEWHERE}"
        return f"; start one with `datamill up`, {ELSEWHERE}"
    if isinstance(error, NotFound):
        for words, noun in MISSING:
            if missing := words.search(text):
                near = "".join(f' did you mean "{name}"?' for name in getattr(error, "__notes__", ()))
                return f";{near} `datamill list {noun}{_where(missing)}` shows what there is"
    if isinstance(error, Unsupported):
        return " (this server does not offer it)"
    return next((f"; {hint}" for words, hint in NEXT if words.search(text)), "")


if __name__ == "__main__":
    main()
