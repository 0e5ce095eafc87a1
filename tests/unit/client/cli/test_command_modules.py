"""Every command is found in a module that its verb imports: no command is missing because nobody imported it."""

import importlib
import pkgutil

import click

from datamill.cli import commands, verbs


def test_each_verb_names_the_modules_of_all_its_commands() -> None:
    for module in pkgutil.walk_packages(commands.__path__, f"{commands.__name__}."):
        importlib.import_module(module.name)
    for name, command in verbs.root.commands.items():
        if isinstance(command, verbs.Words):
            found = {_module(inner) for inner in command.commands.values()}
            assert found == set(command.modules), name
        else:
            assert verbs.ALONE[name] == _module(command)
    assert set(verbs.ALONE) | set(verbs.NOUNS) == set(verbs.root.commands)


def _module(command: click.Command) -> str:
    assert command.callback is not None
    return command.callback.__module__.removeprefix(f"{commands.__name__}.")
