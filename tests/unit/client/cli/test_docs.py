"""What the pages for users show can be typed: commands and options that there are, specs that can be read."""

import re
import shlex
from pathlib import Path

import click
import pytest

from datamill.cli import verbs
from datamill.cli.specs import reading

ROOT = Path(__file__).parents[4]
PAGES = [
    "README.md", "docs/pipelines.md", "docs/urls.md", "docs/upkeep.md", "clients/python/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*/README.md")),
]  # fmt: skip
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:^|\||&&|do|\bis)\s*(datamill [^|&;#`\n]+)", re.MULTILINE)


def shown(page: str) -> list[tuple[str, str]]:
    """The blocks of a page, and of what language they are."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_shown_are_there(page: str) -> None:
    for kind, block in shown(page):
        for text in COMMAND.findall(block) if kind in ("", "sh") else ():
            words = shlex.split(text)[1:]
            command = verbs.root.get_command(click.Context(verbs.root), words[0])
            assert command is not None, text
            if isinstance(command, click.Group):
                command = command.get_command(click.Context(command), words[1])
                assert command is not None, text
            known = {option for param in command.params for option in param.opts} | {"--help"}
            assert {word for word in words if re.match("--?[a-z]", word)} <= known, text


@pytest.mark.parametrize("page", PAGES)
def test_specs_that_are_shown_can_be_read(page: str) -> None:
    specs = [block for kind, block in shown(page) if kind == "yaml"]
    assert all(reading.read(block, project="default", source=page) for block in specs)
    assert specs or page != "docs/pipelines.md"


def test_specs_of_examples_can_be_read() -> None:
    files = [*ROOT.glob("examples/*/pipeline*.yaml"), *ROOT.glob("examples/*/pipelines/*.json")]
    assert len(files) > 8
    for file in files:
        assert reading.read(file.read_text(encoding="utf-8"), project="default", source=str(file))
