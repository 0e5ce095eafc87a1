"""What an input tree must be; every mistake of a tree is found at once.

Elsewhere: defaults (inputs.py); globs, triggers and repos, which PFS alone can judge (peers/repos.py).
"""

from collections.abc import Iterator

from services.kit.time.cron import BadSchedule, schedule
from services.pps.domain.errors import BadSpec
from services.pps.domain.names import PipelineKey, broken_rule
from services.pps.domain.spec.inputs import COMBINING, KINDS, Tree

NOT_A_NAME = frozenset({"out", ".env", ".", "..", ".scratch", ".memory"})  # it is that of a folder below /pfs
NOT_IN_A_NAME = frozenset("/=*?[]{}!()@+^")  # it is a variable, too, and part of paths in the meta repo
LONGEST_FILE_NAME = 255  # bytes
REPO_TYPES = ("user", "meta")


def check(tree: Tree, key: PipelineKey | None) -> None:
    """Raises BadSpec with all mistakes, one a line. `tree` has its defaults. key: whose it is, if anybody's."""
    if found := list(dict.fromkeys(mistakes(tree, key))):
        raise BadSpec("\n".join(found))


def mistakes(tree: Tree, key: PipelineKey | None) -> Iterator[str]:
    """What is wrong with a tree, sentence by sentence, from left to right."""
    yield from _shape(tree, key)
    yield from _repeated(tree)[1]


def _shape(tree: Tree, key: PipelineKey | None, above: str = "") -> Iterator[str]:
    kinds = [kind for kind in KINDS if tree.get(kind)]
    if not kinds:
        yield "no input set"
    elif len(kinds) > 1:
        yield "multiple input types set"
    elif kinds[0] == "pfs":
        yield from _pfs(tree["pfs"], key, above)
    elif kinds[0] == "cron":
        yield from _cron(tree["cron"], key)
    else:
        for child in tree[kinds[0]]:
            yield from _shape(child, key, above if kinds[0] == "cross" else kinds[0])


def _pfs(leaf: Tree, key: PipelineKey | None, above: str) -> Iterator[str]:
    if not leaf.get("repo"):
        yield "input must specify a repo"
    yield from _name(leaf)
    if not leaf.get("branch"):
        yield "input must specify a branch"
    elif rule := broken_rule(leaf["branch"]):  # PFS would say so, too, but of a stopped pipeline only when it starts
        yield rule
    if leaf.get("commit"):
        yield "input cannot come from a commit; use a branch with head pointing to the commit"
    if not leaf.get("glob"):
        yield "input must specify a glob"
    if leaf["repoType"] not in REPO_TYPES:
        yield f'input.pfs.repoType must be one of {", ".join(REPO_TYPES)}, not "{leaf["repoType"]}"'
    if key and PipelineKey(leaf["project"], leaf.get("repo", "")) == key:
        yield f'pipeline "{key}" cannot be its own input: name another repo than "{key.name}"'
    if leaf.get("s3"):
        yield from _s3(leaf, above)


def _name(leaf: Tree) -> Iterator[str]:
    name = leaf.get("name", "")
    if not name:
        yield "input must specify a name"
    elif name in NOT_A_NAME or len(name.encode()) > LONGEST_FILE_NAME:
        yield f"input cannot be named {name}"
    elif not (name.isascii() and name.isprintable()):
        yield f"input cannot be named {name}: only printable ASCII characters are allowed"
    elif wrong := next((letter for letter in name if letter in NOT_IN_A_NAME), ""):
        yield f"input cannot be named {name}: {wrong} is not allowed"


def _s3(leaf: Tree, above: str) -> Iterator[str]:
    if above:
        yield f"S3 inputs in {above} expressions are not supported"
    if leaf.get("glob", "/") != "/":
        yield 'inputs that set "s3" to true must also set "glob" to "/"'
    for other in ("lazy", "emptyFiles"):
        if leaf.get(other):
            yield f'input cannot specify both "s3" and "{other}": its files are read through a bucket'


def _cron(cron: Tree, key: PipelineKey | None) -> Iterator[str]:
    yield from _name(cron)
    if cron.get("commit"):
        yield "input cannot come from a commit; use a branch with head pointing to the commit"
    if key and PipelineKey(cron["project"], cron.get("repo", "")) == key:
        yield f'pipeline "{key}" cannot be its own input: name another repo than "{key.name}"'
    spec = cron.get("spec", "")
    try:
        if not spec.strip():
            raise BadSchedule("Empty spec string")
        schedule(spec)
    except BadSchedule as bad:
        yield f"error parsing cron-spec: {bad}"


def _repeated(tree: Tree) -> tuple[set[str], list[str]]:
    """All names in a tree, and what is wrong with them: siblings of a union are alternatives and may share theirs."""
    for kind in ("pfs", "cron"):
        if tree.get(kind):
            return {tree[kind].get("name", "")} - {""}, []
    found, wrong = set[str](), list[str]()
    for kind in COMBINING:
        for child in tree.get(kind) or ():
            names, below = _repeated(child)
            wrong += below
            if kind != "union":
                wrong += [f'name "{name}" was used more than once' for name in sorted(found & names)]
            found |= names
    return found, wrong
