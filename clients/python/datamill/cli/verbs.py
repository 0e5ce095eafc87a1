"""The verbs of the command line. Nouns register their commands with them (commands/).

Plural nouns are accepted (`list repos`), and an unknown word is answered with the nearest one there is.
Each verb knows in which modules its commands are, and imports them when it is used: a run imports what it needs alone.
"""

import difflib
import importlib

import click

from datamill.cli.session import with_where

INSTEAD = {  # what people type, and what it is called here
    "create commit": "start commit",
    "create file": "put file",
    "create job": "create pipeline",
    "create datum": "list datum",
    "ls": "list",
    "rm": "delete",
    "remove": "delete",
    "show": "inspect",
    "describe": "inspect",
    "add": "put",
    "upload": "put",
    "download": "get",
    "cat": "get file",
    "log": "logs",
    "help": "--help",
    "ps": "list job",
    "kill": "stop",
    "logs2": "find logs",
    "loki": "find logs",
    "completions": "completion",
}
NONE = {  # what pachctl has, and why it is not here
    "kube-events": "datamill runs without Kubernetes, and has no events of it: `datamill status` shows the services, "
    "`datamill list pipeline` and `datamill logs PIPELINE --master` what becomes of pipelines",
    "auth": "there is no authentication yet",
    "port-forward": "the gateway is the one address, `datamill status` shows it; --address names another",
    "config": "DATAMILL_ADDRESS and DATAMILL_PROJECT, or --address and --project, say where and in what",
}


ALONE = {  # commands that are a verb and no noun
    "up": "instance",
    "down": "instance",
    "status": "instance",
    "doctor": "instance",
    "version": "instance",
    "completion": "completion",
    "logs": "logs.reading",
    "gc": "upkeep",
    "scrub": "upkeep",
    "backup": "upkeep",
    "restore": "upkeep",
    "fsck": "whole",
    "url": "data.urls",
}
DATA = "data.projects data.repos data.commits data.files data.transactions"
WORK = "work.pipelines work.jobs work.secrets"
NOUNS = {  # the modules that hold a verb's commands
    "create": "data.projects data.repos work.specs work.secrets work.defaults",
    "update": "data.projects data.repos work.specs work.defaults",
    "inspect": f"{DATA} {WORK} work.datums work.defaults",
    "list": f"{DATA} {WORK} work.datums whole",
    "delete": f"{DATA} {WORK} work.defaults whole",
    "start": "data.commits data.transactions work.pipelines",
    "finish": "data.commits data.transactions",
    "stop": "work.pipelines work.jobs data.transactions",
    "resume": "data.transactions",
    "edit": "data.metadata work.specs",
    "rerun": "work.pipelines",
    "run": "work.pipelines",
    "restart": "work.datums",
    "put": "data.transfers",
    "get": "data.transfers",
    "copy": "data.files",
    "glob": "data.files",
    "diff": "data.files",
    "find": "data.commits logs.finding",
    "wait": "data.commits work.jobs",
    "drop": "data.commits",
    "squash": "data.commits",
    "validate": "work.specs",
    "check": "work.pipelines",
    "explain": "work.datums",
    "why": "work.jobs",
    "next": "work.datums",
    "draw": "work.graph",
}


class Words(click.Group):
    """A group that understands plurals and knows what was probably meant. modules: those of its commands."""

    modules: tuple[str, ...] = ()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        self.load(cmd_name)
        found = super().get_command(ctx, cmd_name)
        if found is None and cmd_name.endswith("s"):
            found = super().get_command(ctx, "branch" if cmd_name == "branches" else cmd_name.removesuffix("s"))
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        self.load()
        return super().list_commands(ctx)

    def load(self, name: str = "") -> None:
        """Import the module of a command, or those of all."""
        for module in self.modules:
            importlib.import_module(f"datamill.cli.commands.{module}")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if self.get_command(ctx, word) is None and not word.startswith("-"):
            path = ctx.command_path.split(" ", 1)
            spoken = " ".join([*path[1:], word])
            raise click.UsageError(f"there is no command {spoken!r}{self._meant(ctx, path[0], spoken, word)}", ctx)
        return super().resolve_command(ctx, args)

    def _meant(self, ctx: click.Context, program: str, spoken: str, word: str) -> str:
        if why := NONE.get(spoken):
            return f": {why}"
        if instead := INSTEAD.get(spoken):
            return f"; did you mean `{program} {instead}`?"
        known = self.list_commands(ctx)
        if near := difflib.get_close_matches(word, known, n=1, cutoff=0.5):
            return f"; did you mean `{ctx.command_path} {near[0]}`?"
        return f"; there is {', '.join(known)}"


class Root(Words):
    """The program itself."""

    def load(self, name: str = "") -> None:
        for module in {ALONE[name]} if name in ALONE else set() if name else set(ALONE.values()):
            importlib.import_module(f"datamill.cli.commands.{module}")


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="datamill", message="%(version)s")
@with_where
def root(**_where: str | None) -> None:
    """Versioned data, and pipelines over what changed.

    \b
    Written forms:  repo  project/repo  repo@branch  repo@ID  repo@branch^2
                    repo@branch:/path   pipeline   pipeline@JOB_ID
    Exit codes:     0 done   1 the server said no, or a job failed   2 wrong use
                    3 no answer from the server   130 interrupted
    """


def verb(name: str, help: str) -> Words:
    group = Words(name, help=help, no_args_is_help=True)
    group.modules = tuple(NOUNS[name].split())
    root.add_command(group)
    return group


create = verb("create", "Make a project, repo, branch, pipeline or secret, or set defaults.")
update = verb("update", "Change a pipeline, defaults, or the description of a project or repo.")
inspect = verb("inspect", "Show one thing in full.")
list_ = verb("list", "List things.")
delete = verb("delete", "Delete things.")
start = verb("start", "Open a commit or a transaction, or let a pipeline go on.")
finish = verb("finish", "Close a commit, or let a transaction take effect.")
stop = verb("stop", "Stop a pipeline, a job or collecting a transaction.")
resume = verb("resume", "Go on with a transaction.")
edit = verb("edit", "Edit a pipeline's spec, or the metadata of things.")
rerun = verb("rerun", "Run a pipeline again.")
run = verb("run", "Tick a pipeline's clock now.")
restart = verb("restart", "Try a running datum again.")
put = verb("put", "Write files.")
get = verb("get", "Read files.")
copy = verb("copy", "Copy files within the server.")
glob = verb("glob", "Find files by pattern.")
diff = verb("diff", "Compare files.")
find = verb("find", "Find the commits that touched a file, or lines in logs.")
wait = verb("wait", "Wait for a commit or a job.")
drop = verb("drop", "Remove the newest commit together with what it wrote.")
squash = verb("squash", "Remove a commit and keep what it wrote.")
validate = verb("validate", "Check a file without a server.")
check = verb("check", "Look for pipelines that need somebody to look at them.")
explain = verb("explain", "Say why a datum ran, was skipped or failed.")
why = verb("why", "Say what a job is waiting for.")
next_ = verb("next", "For the code of a pipeline: what it asks of its worker.")
draw = verb("draw", "Draw which pipelines lead to which.")
