"""The sentences about projects, repos, branches and triggers (test_error_catalogue.py)."""

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.errors.catalogue_world import CODE, EXISTS, ID, INVALID, NOT_FOUND, UNKNOWN, Case, nobody

PROJECTS: list[Case] = [
    (
        "missing",
        lambda w: w.send("InspectProject", project=pfs.Project(name="no")),
        NOT_FOUND,
        'error getting project "no": project "no" not found',
    ),
    (
        "missing, second form",
        lambda w: w.send("InspectProjectV2", project=pfs.Project(name="no")),
        NOT_FOUND,
        'error getting project "no": project "no" not found',
    ),
    (
        "deleting a missing one",
        lambda w: w.send("DeleteProject", project=pfs.Project(name="no")),
        NOT_FOUND,
        'project "no" not found',
    ),
    (
        "updating a missing one",
        lambda w: w.send("CreateProject", project=pfs.Project(name="no"), update=True),
        NOT_FOUND,
        'error getting project "no": project "no" not found',
    ),
    (
        "exists",
        lambda w: w.send("CreateProject", project=pfs.Project(name="default")),
        EXISTS,
        "project default already exists",
    ),
    (
        "bad characters",
        lambda w: w.send("CreateProject", project=pfs.Project(name="a/b")),
        UNKNOWN,
        "invalid project name: name (a/b) invalid: {LETTERS}",
    ),
    (
        "bad first character",
        lambda w: w.send("CreateProject", project=pfs.Project(name="_a")),
        UNKNOWN,
        "invalid project name: project name '_a' must start with an alphanumeric character",
    ),
    (
        "too long",
        lambda w: w.send("CreateProject", project=pfs.Project(name="x" * 53)),
        UNKNOWN,
        'invalid project name: project name "{X53}" is 2 characters longer than the 51 max',
    ),
    (
        "deleting a bad name",
        lambda w: w.send("DeleteProject", project=pfs.Project(name="a/b")),
        UNKNOWN,
        "invalid project name: name (a/b) invalid: {LETTERS}",
    ),
    (
        "not empty",
        lambda w: w.send("DeleteProject", project=pfs.Project(name=w.full), force=True),
        CODE.FAILED_PRECONDITION,
        "cannot delete project {full}: repo {full}/r still exists\ncannot delete project {full}: repo {full}/s still exists",  # noqa: E501
    ),
    ("none named", lambda w: w.send("InspectProject"), INVALID, "validate request: project: value is required"),
    (
        "none named, second form",
        lambda w: w.send("InspectProjectV2"),
        INVALID,
        "validate request: project: value is required",
    ),
]
REPOS: list[Case] = [
    ("missing", lambda w: w.send("InspectRepo", repo=nobody(w.a).wire), NOT_FOUND, "repo default/nobody not found"),
    (
        "system repo missing",
        lambda w: w.send("InspectRepo", repo=pfs.Repo(name="nobody", type="meta")),
        NOT_FOUND,
        "repo default/nobody.meta not found",
    ),
    ("exists", lambda w: w.send("CreateRepo", repo=w.a.wire), EXISTS, "repo default/{a} already exists"),
    (
        "system repo exists",
        lambda w: w.send("CreateRepo", repo=pfs.Repo(name=w.p.name, type="meta")),
        EXISTS,
        "repo default/{p}.meta already exists",
    ),
    (
        "of a pipeline",
        lambda w: w.send("DeleteRepo", repo=w.p.wire, force=True),
        UNKNOWN,
        "cannot delete a repo associated with a pipeline - delete the pipeline instead",
    ),
    (
        "in use",
        lambda w: w.send("DeleteRepo", repo=w.a.wire),
        UNKNOWN,
        'branch "master" cannot be deleted because it\'s in the direct provenance of [default/{b}@master default/{p}@master default/{q}@master]',  # noqa: E501
    ),
    (
        "reserved",
        lambda w: w.send("CreateRepo", repo=pfs.Repo(name="__filesets__")),
        UNKNOWN,
        "__filesets__ is a reserved name",
    ),
    ("bad name", lambda w: w.send("CreateRepo", repo=pfs.Repo(name="a/b")), UNKNOWN, "name (a/b) invalid: {LETTERS}"),
    (
        "system repo alone",
        lambda w: w.send("CreateRepo", repo=pfs.Repo(name="nobody", type="meta")),
        UNKNOWN,
        "cannot create a system repo without a corresponding 'user' repo",
    ),
    (
        "in a missing project",
        lambda w: w.send("CreateRepo", repo=pfs.Repo(name="x", project=pfs.Project(name="no"))),
        NOT_FOUND,
        'cannot find project "no": project "no" not found',
    ),
    ("none to delete", lambda w: w.send("DeleteRepo"), INVALID, "no repo specified"),
    ("none to make", lambda w: w.send("CreateRepo"), UNKNOWN, "repo cannot be nil"),
    ("none to inspect", lambda w: w.send("InspectRepo"), UNKNOWN, "repo cannot be nil"),
    ("none to list commits of", lambda w: w.send("ListCommit"), UNKNOWN, "repo cannot be nil"),
    ("none to follow", lambda w: w.send("SubscribeCommit"), UNKNOWN, "repo cannot be nil"),
    (
        "missing, listing branches",
        lambda w: w.send("ListBranch", repo=nobody(w.a).wire),
        NOT_FOUND,
        "repo default/nobody not found",
    ),
    (
        "missing, listing commits",
        lambda w: w.send("ListCommit", repo=nobody(w.a).wire),
        NOT_FOUND,
        "repo default/nobody not found",
    ),
    (
        "missing, following commits",
        lambda w: w.send("SubscribeCommit", repo=nobody(w.a).wire),
        NOT_FOUND,
        "repo default/nobody not found",
    ),
]
BRANCHES: list[Case] = [
    (
        "missing",
        lambda w: w.send("InspectBranch", branch=w.branch(w.a, "no")),
        NOT_FOUND,
        'branch "no" not found in repo default/{a}\nbranch (id=0, branch=default/{a}@no) not found',
    ),
    (
        "missing, to delete",
        lambda w: w.send("DeleteBranch", branch=w.branch(w.a, "no")),
        NOT_FOUND,
        'branch "no" not found in repo default/{a}\nbranch (id=0, branch=default/{a}@no) not found',
    ),
    (
        "in a missing repo",
        lambda w: w.send("CreateBranch", branch=nobody(w.a).branch),
        NOT_FOUND,
        "repo (id=0, project=default, name=nobody, type=user) not found",
    ),
    (
        "from a missing repo",
        lambda w: w.send("CreateBranch", branch=w.c.branch, provenance=[nobody(w.a).branch]),
        NOT_FOUND,
        "repo (id=0, project=default, name=nobody, type=user) not found",
    ),
    (
        "in use",
        lambda w: w.send("DeleteBranch", branch=w.a.branch),
        UNKNOWN,
        'branch "master" cannot be deleted because it\'s in the direct provenance of [default/{b}@master default/{p}@master default/{q}@master]',  # noqa: E501
    ),
    (
        "head of another repo",
        lambda w: w.send("CreateBranch", branch=w.a.branch, head=w.c.head),
        UNKNOWN,
        "branch and head commit must belong to the same repo",
    ),
    (
        "head missing",
        lambda w: w.send("CreateBranch", branch=w.a.branch, head=w.id(w.a, ID)),
        NOT_FOUND,
        "unable to inspect default/{a}@{ID}: pick commit tx: commit default/{a}@{ID} not found\ncommit default/{a}@{ID} not found",  # noqa: E501
    ),
    (
        "named like an id",
        lambda w: w.send("CreateBranch", branch=w.branch(w.a, ID)),
        UNKNOWN,
        "branch name cannot be a UUID V4",
    ),
    (
        "bad name",
        lambda w: w.send("CreateBranch", branch=w.branch(w.a, "a/b")),
        UNKNOWN,
        "name (a/b) invalid: {LETTERS}",
    ),
    ("none", lambda w: w.send("CreateBranch"), UNKNOWN, "branch cannot be nil"),
    ("none to inspect", lambda w: w.send("InspectBranch"), UNKNOWN, "branch cannot be nil"),
    ("none to delete", lambda w: w.send("DeleteBranch"), INVALID, "validate request: branch: value is required"),
    (
        "without repo",
        lambda w: w.send("CreateBranch", branch=pfs.Branch(name="x")),
        UNKNOWN,
        "branch repo cannot be nil",
    ),
    (
        "without repo, to inspect",
        lambda w: w.send("InspectBranch", branch=pfs.Branch(name="x")),
        UNKNOWN,
        "branch repo cannot be nil",
    ),
    (
        "of its own repo",
        lambda w: w.send("CreateBranch", branch=w.branch(w.c, "x"), provenance=[w.c.branch]),
        UNKNOWN,
        "repo default/{c} cannot be in the provenance of its own branch",
    ),
    (
        "cycle",
        lambda w: w.send("CreateBranch", branch=w.a.branch, provenance=[w.b.branch]),
        CODE.INTERNAL,
        "cycle detected because default/{b}@master is already in the subvenance of default/{a}@master",
    ),
    (
        "two of one repo",
        lambda w: w.send("CreateBranch", branch=w.branch(w.c, "x"), provenance=[w.b.branch, w.branch(w.a, "other")]),
        UNKNOWN,
        'validate DAG at end of transaction: multiple branches from the same repo, "default/{a}", cannot participate in a DAG',  # noqa: E501
    ),
    (
        "provenance and trigger",
        lambda w: w.send(
            "CreateBranch", branch=w.branch(w.c, "x"), provenance=[w.a.branch], trigger=pfs.Trigger(branch="master")
        ),
        UNKNOWN,
        "a branch cannot have both provenance and a trigger",
    ),
    (
        "rule for a stranger",
        lambda w: w.send(
            "CreateBranch",
            branch=w.branch(w.c, "x"),
            branch_propagation_specs=[
                pfs.BranchPropagationSpec(branch=w.a.branch, propagation_spec=pfs.PropagationSpec(never=True))
            ],
        ),
        UNKNOWN,
        "branch propagation spec must reference provenant branch (referenced branch: default/{a}.user@master)",
    ),
]
TRIGGERS: list[Case] = [
    (
        "without branch",
        lambda w: w.send("CreateBranch", branch=w.branch(w.c, "x"), trigger=pfs.Trigger(size="1K")),
        UNKNOWN,
        "triggers must specify a branch to trigger on",
    ),
    (
        "loop",
        lambda w: w.send("CreateBranch", branch=w.branch(w.c, "x"), trigger=pfs.Trigger(branch="x")),
        UNKNOWN,
        "triggers cannot form a loop",
    ),
    (
        "missing branch",
        lambda w: w.send("CreateBranch", branch=w.branch(w.c, "x"), trigger=pfs.Trigger(branch="no")),
        NOT_FOUND,
        'branch "no" not found in repo default/{c}\nbranch (id=0, branch=default/{c}@no) not found',
    ),
    (
        "bad size",
        lambda w: w.send("CreateBranch", branch=w.branch(w.c, "x"), trigger=pfs.Trigger(branch="master", size="much")),
        UNKNOWN,
        "invalid trigger size: invalid size: 'much'",
    ),
    (
        "negative commits",
        lambda w: w.send("CreateBranch", branch=w.branch(w.c, "x"), trigger=pfs.Trigger(branch="master", commits=-1)),
        UNKNOWN,
        "can't trigger on a negative number of commits",
    ),
    (
        "bad rate",
        lambda w: w.send(
            "CreateBranch", branch=w.branch(w.c, "x"), trigger=pfs.Trigger(branch="master", rate_limit_spec="@no")
        ),
        UNKNOWN,
        "invalid trigger rate limit spec: unrecognized descriptor: @no",
    ),
    (
        "bad clock",
        lambda w: w.send(
            "CreateBranch", branch=w.branch(w.c, "x"), trigger=pfs.Trigger(branch="master", cron_spec="@no")
        ),
        UNKNOWN,
        "invalid trigger cron spec: unrecognized descriptor: @no",
    ),
]
