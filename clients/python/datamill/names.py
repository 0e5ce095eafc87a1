"""How things are written: `project/repo@branch:/path`, `pipeline@job`. Text in, wire messages out, and back.

The same forms as pachctl: `repo`, `repo.type`, `repo@branch`, `repo@ID`, `repo@branch=ID`, `repo@branch^2`,
`repo@ref:/path`, `pipeline@ID`; each may begin with `project/`. A message is passed through as it is, so that every
function of the client takes either. Whether the thing exists, or its name is allowed, is for the server to say.
"""

import re

from datamill.errors import Invalid
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps

DEFAULT_PROJECT = "default"
ID = re.compile(r"[0-9a-fA-F]{12}4[0-9a-fA-F]{19}")
DATUM_ID = re.compile(r"[0-9a-f]{64}")
ANCESTRY = re.compile(r"[\^~.]")
TYPES = ("user", "meta", "spec")


def is_id(text: str) -> bool:
    """Whether this is a commit (set) or job id: 32 hex digits, the 13th a 4."""
    return ID.fullmatch(text) is not None


def is_datum_id(text: str) -> bool:
    """Whether this is the id of a datum: 64 hex digits."""
    return DATUM_ID.fullmatch(text) is not None


def project(name: str) -> pfs.Project:
    if not name or any(mark in name for mark in "/@:"):
        raise Invalid(f"{name!r} is not the name of a project")
    return pfs.Project(name=name)


def repo(ref: "str | pfs.Repo", default: str = DEFAULT_PROJECT) -> pfs.Repo:
    """`repo`, `repo.type` or `project/repo`."""
    if isinstance(ref, pfs.Repo):
        return ref
    if "@" in ref or ":" in ref:
        raise Invalid(f"{ref!r}: a repo is wanted here, without @branch or :/path")
    owner, name = _owned(ref, "repo", default)
    stem, dot, kind = name.partition(".")
    if dot and kind not in TYPES:
        raise Invalid(f"{ref!r}: {kind!r} is not a type of repo ({', '.join(TYPES)})")
    return pfs.Repo(name=stem, type=kind or "user", project=pfs.Project(name=owner))


def branch(ref: "str | pfs.Branch", default: str = DEFAULT_PROJECT) -> pfs.Branch:
    """`repo@branch`."""
    if isinstance(ref, pfs.Branch):
        return ref
    where, _, name = ref.partition("@")
    if not where or not name or ":" in name:
        raise Invalid(f"{ref!r}: a branch is written repo@branch, for example images@master")
    return pfs.Branch(repo=repo(where, default), name=name)


def commit(ref: "str | pfs.Commit", default: str = DEFAULT_PROJECT) -> pfs.Commit:
    """`repo@branch`, `repo@ID`, `repo@branch=ID`, or any of them with `^2` or `.2` behind it."""
    if isinstance(ref, pfs.Commit):
        return ref
    where, _, name = ref.partition("@")
    if not where or not name or ":" in name:
        raise Invalid(f"{ref!r}: a commit is written repo@branch or repo@ID, for example images@master")
    home = repo(where, default)
    named, equals, id = name.partition("=")
    if equals:
        if not is_id(id):
            raise Invalid(f"{ref!r}: {id!r} is not a commit id (32 hex digits)")
        return pfs.Commit(repo=home, branch=pfs.Branch(repo=home, name=named), id=id)
    if is_id(name) or ANCESTRY.search(name):
        return pfs.Commit(repo=home, id=name)
    return pfs.Commit(repo=home, branch=pfs.Branch(repo=home, name=name))


def file(ref: "str | pfs.File", default: str = DEFAULT_PROJECT, *, path: str | None = None) -> pfs.File:
    """`repo@ref:/path`. path: what to take when the text names only a commit; None means it must name a file."""
    if isinstance(ref, pfs.File):
        return ref
    where, colon, named = ref.partition(":")
    if not colon and path is None:
        raise Invalid(f"{ref!r}: a file is written repo@branch:/path, for example images@master:/cat.png")
    return pfs.File(commit=commit(where, default), path=absolute(named if colon else path or "/"))


def absolute(path: str) -> str:
    """The path with its leading slash."""
    return path if path.startswith("/") else f"/{path}"


def pipeline(ref: "str | pps.Pipeline", default: str = DEFAULT_PROJECT) -> pps.Pipeline:
    """`pipeline` or `project/pipeline`."""
    if isinstance(ref, pps.Pipeline):
        return ref
    if "@" in ref or ":" in ref:
        raise Invalid(f"{ref!r}: the name of a pipeline is wanted here")
    owner, name = _owned(ref, "pipeline", default)
    return pps.Pipeline(name=name, project=pfs.Project(name=owner))


def job(ref: "str | pps.Job", default: str = DEFAULT_PROJECT) -> pps.Job:
    """`pipeline@ID`."""
    if isinstance(ref, pps.Job):
        return ref
    where, _, id = ref.partition("@")
    if not where or not is_id(id):
        hint = f"; {ref}@master is its newest" if ref and "@" not in ref else ""
        raise Invalid(f"{ref!r}: a job is written pipeline@ID, with an ID that `datamill list job` shows{hint}")
    return pps.Job(pipeline=pipeline(where, default), id=id)


def shown_repo(ref: pfs.Repo) -> str:
    kind = "" if ref.type in ("", "user") else f".{ref.type}"
    return f"{_prefix(ref.project)}{ref.name}{kind}"


def shown_branch(ref: pfs.Branch) -> str:
    return f"{shown_repo(ref.repo)}@{ref.name}"


def shown_commit(ref: pfs.Commit) -> str:
    return f"{shown_repo(ref.repo if ref.HasField('repo') else ref.branch.repo)}@{ref.id or ref.branch.name}"


def shown_pipeline(ref: pps.Pipeline) -> str:
    return f"{_prefix(ref.project)}{ref.name}"


def shown_job(ref: pps.Job) -> str:
    return f"{shown_pipeline(ref.pipeline)}@{ref.id}"


def _prefix(owner: pfs.Project) -> str:
    return "" if owner.name in ("", DEFAULT_PROJECT) else f"{owner.name}/"


def _owned(text: str, noun: str, default: str) -> tuple[str, str]:
    owner, slash, name = text.rpartition("/")
    if not name or (slash and not owner) or "/" in owner:
        raise Invalid(f"{text!r} is not the name of a {noun}: write {noun} or project/{noun}")
    return owner or default, name
