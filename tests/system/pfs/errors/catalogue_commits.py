"""The sentences about commits and commit sets (test_error_catalogue.py)."""

from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.errors.catalogue_world import CODE, DASHED, ID, INVALID, NOT_FOUND, UNKNOWN, Case, nobody

COMMITS: list[Case] = [
    (
        "missing",
        lambda w: w.send("InspectCommit", commit=w.id(w.a, ID)),
        NOT_FOUND,
        "pick commit tx: commit default/{a}@{ID} not found\ncommit default/{a}@{ID} not found",
    ),
    (
        "missing, waited for",
        lambda w: w.send("InspectCommit", commit=w.id(w.a, ID), wait=pfs.CommitState.FINISHED),
        NOT_FOUND,
        "pick commit tx: commit default/{a}@{ID} not found\ncommit default/{a}@{ID} not found",
    ),
    (
        "of a missing branch",
        lambda w: w.send("InspectCommit", commit=w.id(w.a, "no")),
        NOT_FOUND,
        'pick commit tx: commit default/{a}@no not found\nbranch "no" not found in repo default/{a}',
    ),
    (
        "of a missing repo",
        lambda w: w.send("InspectCommit", commit=w.id(nobody(w.a), "master")),
        NOT_FOUND,
        "pick commit tx: commit default/nobody@master not found\nrepo default/nobody not found",
    ),
    ("none", lambda w: w.send("InspectCommit"), UNKNOWN, "commit cannot be nil"),
    ("none to finish", lambda w: w.send("FinishCommit"), UNKNOWN, "commit cannot be nil"),
    ("none to squash", lambda w: w.send("SquashCommit"), UNKNOWN, "commit cannot be nil"),
    ("none to drop", lambda w: w.send("DropCommit"), UNKNOWN, "commit cannot be nil"),
    ("none to clear", lambda w: w.send("ClearCommit"), UNKNOWN, "commit cannot be nil"),
    ("without repo", lambda w: w.send("InspectCommit", commit=pfs.Commit(id=ID)), UNKNOWN, "commit must have a repo"),
    (
        "set missing",
        lambda w: w.send("InspectCommitSet", commit_set=pfs.CommitSet(id=ID)),
        NOT_FOUND,
        "no commits found for commitset {ID}",
    ),
    (
        "set without id",
        lambda w: w.send("InspectCommitSet", commit_set=pfs.CommitSet()),
        NOT_FOUND,
        "no commits found for commitset ",
    ),
    ("no set", lambda w: w.send("InspectCommitSet"), UNKNOWN, "commitset cannot be nil"),
    ("no set to squash", lambda w: w.send("SquashCommitSet"), UNKNOWN, "commitset cannot be nil"),
    ("no set to drop", lambda w: w.send("DropCommitSet"), INVALID, "validate request: commit_set: value is required"),
    (
        "finished",
        lambda w: w.send("FinishCommit", commit=w.id(w.a, w.F)),
        UNKNOWN,
        "commit default/{a}@{F} has already finished",
    ),
    (
        "finished, to clear",
        lambda w: w.send("ClearCommit", commit=w.id(w.a, w.F)),
        UNKNOWN,
        "cannot clear finished commit",
    ),
    (
        "parent open",
        lambda w: w.send("StartCommit", branch=w.c.branch),
        UNKNOWN,
        "parent commit default/{c}@{O} has not been finished",
    ),
    (
        "parent missing",
        lambda w: w.send("StartCommit", branch=w.c.branch, parent=w.id(w.c, ID)),
        NOT_FOUND,
        "parent commit not found: pick commit tx: commit default/{c}@{ID} not found\ncommit default/{c}@{ID} not found",
    ),
    (
        "of a pipeline",
        lambda w: w.send("FinishCommit", commit=w.id(w.p, "master")),
        UNKNOWN,
        "cannot finish a pipeline output or meta commit, use 'stop job' instead",
    ),
    (
        "on an output branch",
        lambda w: w.send("StartCommit", branch=w.b.branch),
        UNKNOWN,
        "cannot start a commit on an output branch: default/{b}@master",
    ),
    (
        "in a missing repo",
        lambda w: w.send("StartCommit", branch=nobody(w.a).branch),
        NOT_FOUND,
        "repo default/nobody not found",
    ),
    ("no branch", lambda w: w.send("StartCommit"), UNKNOWN, "branch must be specified"),
    (
        "branch without a name",
        lambda w: w.send("StartCommit", branch=w.branch(w.a, "")),
        UNKNOWN,
        "branch must be specified",
    ),
    (
        "branch like an id",
        lambda w: w.send("StartCommit", branch=w.branch(w.a, ID)),
        UNKNOWN,
        "branch name cannot be a UUID V4",
    ),
    (
        "squash without children",
        lambda w: w.send("SquashCommit", commit=w.id(w.c, w.O)),
        UNKNOWN,
        "cannot squash a commit that has no children as that would cause data loss, use the drop operation instead: default/{c}@{O}",  # noqa: E501
    ),
    (
        "squash with subvenance",
        lambda w: w.send("SquashCommit", commit=w.id(w.a, w.F)),
        UNKNOWN,
        "cannot squash commit (default/{a}@{F}) with subvenance without recursive",
    ),
    (
        "drop with subvenance",
        lambda w: w.send("DropCommit", commit=w.id(w.a, w.F)),
        UNKNOWN,
        "cannot drop commit (default/{a}@{F}) with subvenance without recursive",
    ),
    (
        "drop with children",
        lambda w: w.send("DropCommit", commit=w.id(w.b, w.F)),
        UNKNOWN,
        "cannot drop a commit that has children: default/{b}@{F}",
    ),
    (
        "squash before an open child",
        lambda w: w.send("SquashCommit", commit=w.id(w.b, w.F)),
        UNKNOWN,
        "cannot squash until child commit default/{b}@{G} is finished",
    ),
    (
        "set that others were made from",
        lambda w: w.send("SquashCommitSet", commit_set=pfs.CommitSet(id=w.K)),
        UNKNOWN,
        'commit set "{K}" cannot be dropped because it has subvenant commit sets: [{L}]',
    ),
    (
        "not finished, searching",
        lambda w: w.send("FindCommits", start=w.id(w.c, w.O), file_path="/x"),
        CODE.UNAVAILABLE,
        "commit default/{c}@{O} not finished",
    ),
    (
        "no start of a search",
        lambda w: w.send("FindCommits", file_path="/x"),
        INVALID,
        "validate recv: start: value is required",
    ),
    ("no picker", lambda w: w.send("ForgetCommit"), UNKNOWN, "commit picker cannot be nil"),
    (
        "picker without project",
        lambda w: w.send(
            "WalkCommitProvenance",
            start=[
                pfs.CommitPicker(
                    id=pfs.CommitPicker.CommitByGlobalId(
                        id=ID, repo=pfs.RepoPicker(name=pfs.RepoPicker.RepoName(name="x"))
                    )
                )
            ],
        ),
        UNKNOWN,
        "project picker cannot be nil",
    ),
    (
        "empty picker",
        lambda w: w.send("WalkCommitProvenance", start=[pfs.CommitPicker()]),
        UNKNOWN,
        "commit picker cannot be nil",
    ),
    (
        "beyond the root",
        lambda w: w.send("InspectCommit", commit=w.id(w.a, "master^9")),
        UNKNOWN,
        "invalid offset for ancestor of commit: default/{a}@master^9",
    ),
    (
        "beyond the newest",
        lambda w: w.send("InspectCommit", commit=w.id(w.a, "master.9")),
        UNKNOWN,
        "invalid offset from branch root 9: default/{a}@master.9",
    ),
    (
        "id with dashes, which is a branch's name",
        lambda w: w.send("InspectCommit", commit=w.id(w.a, DASHED)),
        NOT_FOUND,
        'pick commit tx: commit default/{a}@{DASHED} not found\nbranch "{DASHED}" not found in repo default/{a}',
    ),
    (
        "of a spec, to squash",
        lambda w: w.send("SquashCommit", commit=w.of_spec),
        UNKNOWN,
        "cannot squash commit default/{p}.spec@{S} because it updated a pipeline",
    ),
    (
        "of a spec, to drop",
        lambda w: w.send("DropCommitSet", commit_set=pfs.CommitSet(id=w.S)),
        UNKNOWN,
        "cannot squash commit default/{p}.spec@{S} because it updated a pipeline",
    ),
    (
        "set that others were made from, to drop",
        lambda w: w.send("DropCommitSet", commit_set=pfs.CommitSet(id=w.K)),
        UNKNOWN,
        'commit set "{K}" cannot be dropped because it has subvenant commit sets: [{L}]',
    ),
    (
        "unknown origin",
        lambda w: w.send("ListCommit", repo=w.a.wire, origin_kind=99),
        UNKNOWN,
        "unknown origin kind 99",
    ),
    (
        "bad ancestry",
        lambda w: w.send("InspectCommit", commit=w.id(w.a, "master^~")),
        UNKNOWN,
        "invalid ancestry format: master^~",
    ),
    (
        "more ancestors than there are",
        lambda w: w.send("InspectCommit", commit=w.id(w.a, "master.1^2")),
        UNKNOWN,
        "there should be less ancestors than descendants",
    ),
    (
        "from without to",
        lambda w: w.send("ListCommit", repo=w.a.wire, **{"from": w.a.head}),
        UNKNOWN,
        "cannot use `from` commit without `to` commit",
    ),
    (
        "to of another repo",
        lambda w: w.send("ListCommit", repo=w.a.wire, to=w.c.head),
        UNKNOWN,
        "`from` and `to` commits need to be from repo default/{a}",
    ),
    (
        "reverse with to",
        lambda w: w.send("ListCommit", repo=w.a.wire, to=w.a.head, reverse=True),
        UNKNOWN,
        "cannot use 'Reverse' while also using 'From' or 'To'",
    ),
    (
        "following from another repo",
        lambda w: w.send("SubscribeCommit", repo=w.a.wire, **{"from": w.id(w.c, w.O)}),
        UNKNOWN,
        "the `from` commit needs to be from repo default/{a}",
    ),
]
