"""The input tree of a spec: its defaults, and the repos and branches it reads.

A tree is the spec's own JSON (camelCase): exactly one of pfs, cross, union, join, group, cron in each object.
Elsewhere: what a tree must be (input_rules.py); what datums it gives (services/jobs).
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.pps.domain.names import DEFAULT_PROJECT, PipelineKey

Tree = dict[str, Any]
COMBINING = ("cross", "union", "join", "group")
KINDS = ("pfs", *COMBINING, "cron")
CRON_BRANCH = "master"
NO_TIMES = ("1970-01-01T00:00:00", "0001-01-01T00:00:00")  # how times that nobody gave look in some clients' messages


def with_defaults(tree: Tree, key: PipelineKey | None) -> Tree:
    """The tree as it is stored: children sorted by their given name, then names, branches and globs filled in.

    key: whose it is; None of no pipeline, so that nobody follows a branch for it: its source is read itself.

    A cron gets the start of its schedule from `with_starts`, which knows the version before.
    """
    return _filled(_sorted(tree), key, Counter())


def _sorted(tree: Tree) -> Tree:
    for kind in COMBINING:
        if tree.get(kind):
            return {**tree, kind: sorted((_sorted(child) for child in tree[kind]), key=_given_name)}
    return tree


def _given_name(tree: Tree) -> str:
    """As the user wrote it, of the leftmost leaf."""
    for kind in COMBINING:
        if tree.get(kind):
            return _given_name(tree[kind][0])
    return str(tree.get("pfs", {}).get("name", ""))


def _filled(tree: Tree, key: PipelineKey | None, triggers: Counter[tuple[str, str]]) -> Tree:
    for kind in COMBINING:
        if tree.get(kind):
            return {**tree, kind: [_filled(child, key, triggers) for child in tree[kind]]}
    if "pfs" in tree:
        return {**tree, "pfs": _pfs(_given(tree["pfs"]), key, triggers)}
    return {**tree, "cron": _cron(_given(tree["cron"]), key)} if "cron" in tree else tree


def _given(leaf: Tree) -> Tree:
    """As on the wire, "" is "not given"."""
    return {name: value for name, value in leaf.items() if value != ""}


def _pfs(given: Tree, key: PipelineKey | None, triggers: Counter[tuple[str, str]]) -> Tree:
    if key is None and "trigger" in given:
        source = _given(given["trigger"]).get("branch", "master")
        given = {"branch": source, **{name: value for name, value in given.items() if name != "trigger"}}
    leaf = {"project": _project(key), "repoType": "user", "branch": "master", "name": given.get("repo", ""), **given}
    if key is not None and "trigger" in given:
        if "branch" not in given:
            where = leaf["project"], leaf.get("repo", "")
            triggers[where] += 1
            leaf["branch"] = f"{key.name}-trigger-{triggers[where]}"
        leaf["trigger"] = {"branch": "master", **_given(given["trigger"])}
    leaf["repoType"] = leaf["repoType"].lower()
    if leaf.get("glob"):
        leaf["glob"] = _clean_glob(leaf["glob"])
    return _given(leaf)


def _project(key: PipelineKey | None) -> str:
    return (key.project if key else "") or DEFAULT_PROJECT


def _cron(given: Tree, key: PipelineKey | None) -> Tree:
    repo = f"{key.name}_{given['name']}" if key and given.get("name") else ""
    if given.get("start", "").startswith(NO_TIMES):
        given = {name: value for name, value in given.items() if name != "start"}
    return _given({"project": _project(key), "repo": repo, **given})


def _clean_glob(glob: str) -> str:
    return "/" + glob.strip("/") if glob.strip("/") else "/"


def with_starts(tree: Tree | None, *, before: Tree | None, now: datetime) -> Tree | None:
    """The tree with a start for every cron: as given, else that of the version before, else now.

    So an update that says nothing of a start does not disturb the schedule, and another schedule begins now: ticks that
    it would have had are none that were missed.
    """
    old = {_schedule_of(cron): cron["start"] for cron in crons(before or {}) if cron.get("start")}
    text = now.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def started(one: Tree) -> Tree:
        for kind in COMBINING:
            if one.get(kind):
                return {**one, kind: [started(child) for child in one[kind]]}
        cron = one.get("cron")
        if not cron or cron.get("start"):
            return one
        return {**one, "cron": {**cron, "start": old.get(_schedule_of(cron), text)}}

    return started(tree) if tree else tree


def _schedule_of(cron: Tree) -> tuple[str, str, str]:
    return cron["project"], cron["repo"], cron.get("spec", "")


def _ends(tree: Tree) -> Iterator[Tree]:
    """The parts of a tree that combine nothing, left to right."""
    combined = False
    for kind in COMBINING:
        for child in tree.get(kind) or ():
            combined = True
            yield from _ends(child)
    if not combined:
        yield tree


def leaves(tree: Tree) -> Iterator[Tree]:
    """The pfs inputs, left to right."""
    return (one["pfs"] for one in _ends(tree) if one.get("pfs"))


def crons(tree: Tree) -> Iterator[Tree]:
    """The cron inputs, left to right."""
    return (one["cron"] for one in _ends(tree) if one.get("cron"))


@dataclass(frozen=True, slots=True)
class BranchRead:
    """A branch that a pipeline reads. never: commits in it alone start no job."""

    project: str
    repo: str
    branch: str
    never: bool = False


def reads(tree: Tree | None) -> list[BranchRead]:
    """The branches of a tree in visit order, each once. Of a meta repo it is the user repo's branch of that name."""
    found: dict[tuple[str, str, str], bool] = {}
    for one in _ends(tree or {}):
        if leaf := one.get("pfs"):
            where = leaf["project"], leaf["repo"], leaf["branch"]
            never = bool((leaf.get("propagationSpec") or {}).get("never"))
            found[where] = found.get(where, True) and never
        elif cron := one.get("cron"):
            found[cron["project"], cron["repo"], CRON_BRANCH] = False
    return [BranchRead(*where, never) for where, never in found.items()]


def followers(tree: Tree | None, name: str) -> list[BranchRead]:
    """The branches that a pipeline of this name made for inputs with a trigger; those that users named are theirs."""
    own = re.compile(rf"{re.escape(name)}-trigger-[0-9]+")
    found = [leaf for leaf in leaves(tree or {}) if leaf.get("trigger") and own.fullmatch(leaf["branch"])]
    return [BranchRead(leaf["project"], leaf["repo"], leaf["branch"]) for leaf in found]


def branches(tree: Tree | None) -> list[tuple[str, str, str]]:
    """(project, repo, branch) of every leaf, in visit order, each once."""
    return [(one.project, one.repo, one.branch) for one in reads(tree)]
