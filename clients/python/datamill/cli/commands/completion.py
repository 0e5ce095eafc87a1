"""`datamill completion`: what makes a shell complete verbs, nouns and options. Elsewhere: these (verbs.py)."""

import click
from click.shell_completion import get_completion_class

from datamill.cli import verbs
from datamill.cli.output import emit

VARIABLE = "_DATAMILL_COMPLETE"  # the name that click looks for


@verbs.root.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands.

    \b
    bash, in ~/.bashrc:                  source <(datamill completion bash)
    zsh, in ~/.zshrc:                    source <(datamill completion zsh)
    fish:  datamill completion fish > ~/.config/fish/completions/datamill.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(verbs.root, {}, "datamill", VARIABLE)
    emit(made.source_template % made.source_vars())  # not source(), which starts bash to ask for its version
