"""What the command line says when it cannot do what was asked: one line, a way on, the right exit code, and soon."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from datamill.cli.verbs import root
from tests.support.command_line import CommandLine, command
from tests.support.servers import free_port

WRONG_USE, NO_ANSWER = 2, 3
JOB = "0123456789ab4def0123456789abcdef"


@pytest.fixture
def nobody(tmp_path: Path) -> CommandLine:
    """A command line whose server is not there."""
    return CommandLine(tmp_path, f"grpc://localhost:{free_port()}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lits repo", "there is no command 'lits'; did you mean `datamill list`?"),
        ("list repoo", "there is no command 'list repoo'; did you mean `datamill list repo`?"),
        ("create commit a@b", "did you mean `datamill start commit`?"),
        ("rm repo a", "did you mean `datamill delete`?"),
        ("xyzzy", "there is no command 'xyzzy'; there is backup, check, completion, copy, create"),
        ("create repo", "Missing argument 'REPO'"),
        ("list repo --rwa", "No such option"),
        ("create repo a@b", "'a@b': a repo is wanted here"),
        ("get file images", "'images': a file is written repo@branch:/path"),
        ("inspect commit images", "'images': a commit is written repo@branch or repo@ID"),
        ("inspect job edges", "'edges': a job is written pipeline@ID"),
        ("inspect job edges", "; edges@master is its newest"),
        ("list job edges -p others", "either an ID, or one pipeline"),
        ("kube-events", "datamill runs without Kubernetes, and has no events of it"),
        ("logs2 edges", "did you mean `datamill find logs`?"),
        ("help", "did you mean `datamill --help`?"),
        ("list task cpu", "'cpu' is not one of 'pps', 'pfs'"),
        ("completion", "Missing argument '{bash|zsh|fish}'. choose from bash, zsh, fish"),
        ("find log --logql {} edges", "a query of --logql says by itself whose lines"),
        ("put file images@master", "standard input has no name"),
        ("put file images@master -f nothing-here", "there is no file nothing-here"),
        ("put file images@master -f .", "is a folder: use -r"),
        ("get file -r images@master", "say which folder to write to with -o"),
        ("list datum", "must specify either a job or a pipeline spec"),
        ("logs", "say whose"),
        ("logs a -p b", "only one of pipeline or job should be specified"),
        ("logs a --datum /b", "'/b' is no ID of a datum"),
        ("logs a --since soon", "'soon' is not a length of time"),
        ("list repo --address here", "'here' is not an address: write grpc://host:port"),
        ("list pipeline --raw -s", "cannot set both --raw and --spec"),
        ("create pipeline -f nothing.yaml", "nothing.yaml: No such file"),
    ],
)
def test_wrong_words_are_answered_at_once_in_one_line(nobody: CommandLine, words: str, said: str) -> None:
    done = nobody.run(*words.split())
    assert said in done.err
    assert done.err.startswith("datamill: ")
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert done.code == (1 if "nothing.yaml" in words else WRONG_USE)


def test_shells_are_told_how_to_complete(nobody: CommandLine) -> None:
    assert "_DATAMILL_COMPLETE=bash_complete" in nobody.ok("completion", "bash").out
    words = {"COMP_WORDS": "datamill list pi", "COMP_CWORD": "2", "_DATAMILL_COMPLETE": "bash_complete"}
    assert CommandLine(nobody.folder, nobody.address, words).run().out == "plain,pipeline\n"


def test_a_wrong_spec_is_refused_before_the_server_is_asked(nobody: CommandLine) -> None:
    done = nobody.run("create", "pipeline", stdin="pipeline: {name: a}\nx: 012\n")
    assert done.code == WRONG_USE
    assert 'integer value "012" does not match regexp' in done.err
    assert nobody.run("validate", "pipeline", stdin="pipeline: {name: a}\ntransform: {cmd: [cp]}\n").code == 0
    done = nobody.run("validate", "pipeline", stdin="pipeline: {name: a}\ntrasnform: {}\n")
    assert done.code == WRONG_USE
    assert "trasnform" in done.err


@pytest.mark.parametrize(
    "words", ["list repo", "version", "logs edges -f", "get file a@b:/c", "wait commit a@b", f"wait job a@{JOB}"]
)
def test_nobody_there_is_said_within_seconds(nobody: CommandLine, words: str) -> None:
    asked = time.monotonic()
    done = nobody.run(*words.split())
    assert done.code == NO_ANSWER
    assert f"no datamill answers at {nobody.address}; start one with `datamill up`" in done.err
    assert done.err.count("\n") == 1
    assert time.monotonic() - asked < 55  # a call that waits for its deadline takes 60


def test_the_address_of_the_local_instance_is_found(tmp_path: Path) -> None:
    line = CommandLine(tmp_path)
    (tmp_path / "home").mkdir()
    address = f"grpc://localhost:{free_port()}"
    (tmp_path / "home" / "address").write_text(address + "\n")
    assert f"no datamill answers at {address};" in line.run("list", "repo").err
    other = f"grpc://localhost:{free_port()}"
    assert f"no datamill answers at {other};" in line.run("list", "repo", "--address", other).err
    assert f"no datamill answers at {other};" in line.run("--address", other, "list", "repo").err


def test_without_the_servers_up_says_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "__init__.py").write_text("raise ModuleNotFoundError(name='deploy')\n")
    line = CommandLine(tmp_path, environ={"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"})
    done = line.run("up")
    assert done.code == 1
    assert "the servers are not installed" in done.err
    assert done.err.count("\n") == 1


def test_an_interrupted_command_ends_with_130(tmp_path: Path) -> None:
    line = CommandLine(tmp_path)
    process = subprocess.Popen(
        command("validate", "pipeline"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=line.environment()
    )
    deadline = time.monotonic() + 120
    while not _reads_stdin(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err.strip()) == (130, b"")


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("--help"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=CommandLine(tmp_path).environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*path, name)
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from _commands(found, (*path, name))


def test_every_command_explains_itself(tmp_path: Path) -> None:
    import datamill.cli.main as program  # noqa: PLC0415

    program.run(["--help"])
    found = list(_commands(root))
    assert len(found) > 60
    for words in found:
        assert program.run([*words, "--help"]) == 0
    for verb in ("create", "inspect", "list", "delete"):
        nouns = {words[1] for words in found if words[0] == verb and len(words) == 2}
        assert {"project", "repo", "branch", "pipeline"} <= nouns
    assert {("inspect", "datum"), ("list", "datum"), ("inspect", "job"), ("delete", "file")} <= set(found)


def _reads_stdin(pid: int) -> bool:
    """Whether a process waits in a read of a pipe."""
    return "pipe" in Path(f"/proc/{pid}/wchan").read_text()
