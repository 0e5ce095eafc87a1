"""Commands about repos and branches."""

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.output import Raw, listing, one, size, when
from datamill.cli.session import EVERYWHERE, FORCE, RAW, Session, command
from datamill.errors import NotFound
from datamill.wire import pfs_v2_pb2 as pfs


@command(verbs.create, "repo")
@click.argument("repo")
@click.option("-d", "--description", default="", help="Free text.")
def create_repo(session: Session, repo: str, description: str) -> None:
    """Make a repo."""
    session.client.create_repo(names.repo(repo, session.project), description)


@command(verbs.update, "repo")
@click.argument("repo")
@click.option("-d", "--description", default="", help="The new text.")
def update_repo(session: Session, repo: str, description: str) -> None:
    """Change the description of a repo."""
    wanted = names.repo(repo, session.project)
    if not session.client.joined:  # a transaction may be about to make it
        session.client.inspect_repo(wanted)
    session.client.create_repo(wanted, description, update=True)


@command(verbs.inspect, "repo")
@click.argument("repo")
@RAW
def inspect_repo(session: Session, repo: str, raw: Raw) -> None:
    """Show a repo."""
    one(session.client.inspect_repo(names.repo(repo, session.project)), _repo_fields, raw=raw)


@command(verbs.list_, "repo")
@click.option("--type", "kind", default="user", show_default=True, help="user, meta, spec, or all.")
@EVERYWHERE
@RAW
def list_repo(session: Session, kind: str, everywhere: bool, raw: Raw) -> None:
    """List repos."""
    found = session.client.list_repos(
        projects=() if everywhere else (session.project,), type="" if kind == "all" else kind
    )
    listing(
        session.of_project(found, everywhere),
        ("REPO", "CREATED", "SIZE (MASTER)", "DESCRIPTION"),
        lambda info: (
            names.shown_repo(info.repo),
            when(info.created),
            size(info.size_bytes_upper_bound),
            info.description,
        ),
        raw=raw,
    )


@command(verbs.delete, "repo")
@click.argument("repo")
@FORCE
def delete_repo(session: Session, repo: str, force: bool) -> None:
    """Delete a repo and all its history."""
    wanted = names.repo(repo, session.project)
    if not session.client.delete_repo(wanted, force=force):
        raise NotFound(f"repo {wanted.project.name}/{wanted.name} not found")


@command(verbs.create, "branch")
@click.argument("branch")
@click.option("-p", "--provenance", multiple=True, metavar="REPO@BRANCH", help="Derives from this; repeatable.")
@click.option("--head", metavar="COMMIT", help="A commit of the repo, or one of its branches, to point at.")
@click.option("-t", "--trigger", metavar="BRANCH", help="Follow this branch of the repo when enough has gathered.")
@click.option("--trigger-size", default="", metavar="SIZE", help="After this much, such as 1M.")
@click.option("--trigger-commits", default=0, metavar="N", help="After so many commits.")
@click.option(
    "--trigger-rate-limit",
    "--trigger-rate-limit-spec",
    "rate",
    default="",
    metavar="SPEC",
    help="When a tick lies between.",
)
@click.option("--trigger-cron", "--trigger-cron-spec", default="", metavar="SPEC", help="By the clock.")
@click.option("--trigger-all", is_flag=True, help="When every condition holds, instead of any.")
def create_branch(
    session: Session,
    branch: str,
    provenance: tuple[str, ...],
    head: str | None,
    trigger: str | None,
    trigger_size: str,
    trigger_commits: int,
    rate: str,
    trigger_cron: str,
    trigger_all: bool,
) -> None:
    """Make a branch, or replace what it derives from."""
    made = names.branch(branch, session.project)
    if head is not None and "@" not in head:
        head = f"{branch.partition('@')[0]}@{head}"
    rule = pfs.Trigger(
        branch=trigger or "",
        size=trigger_size,
        commits=trigger_commits,
        rate_limit_spec=rate,
        cron_spec=trigger_cron,
        all=trigger_all,
    )
    if rule.ByteSize() and not trigger:
        raise click.UsageError("a condition needs a branch to look at: --trigger BRANCH")
    session.client.create_branch(
        made,
        head=None if head is None else names.commit(head, session.project),
        provenance=[names.branch(one, session.project) for one in provenance],
        trigger=rule if trigger or rule.ByteSize() else None,
    )


@command(verbs.inspect, "branch")
@click.argument("branch")
@RAW
def inspect_branch(session: Session, branch: str, raw: Raw) -> None:
    """Show a branch."""
    one(session.client.inspect_branch(names.branch(branch, session.project)), _branch_fields, raw=raw)


@command(verbs.list_, "branch")
@click.argument("repo")
@RAW
def list_branch(session: Session, repo: str, raw: Raw) -> None:
    """List the branches of a repo."""
    listing(
        session.client.list_branches(names.repo(repo, session.project)),
        ("BRANCH", "HEAD", "TRIGGER"),
        lambda info: (info.branch.name, info.head.id or "-", info.trigger.branch or "-"),
        raw=raw,
    )


@command(verbs.delete, "branch")
@click.argument("branch")
@FORCE
def delete_branch(session: Session, branch: str, force: bool) -> None:
    """Delete a branch; its commits stay."""
    session.client.delete_branch(names.branch(branch, session.project), force=force)


def _repo_fields(info: pfs.RepoInfo) -> list[tuple[str, str]]:
    return [
        ("Name", names.shown_repo(info.repo)),
        ("Description", info.description),
        ("Created", when(info.created)),
        ("Size of master", size(info.details.size_bytes)),
        ("Branches", ", ".join(branch.name for branch in info.branches)),
        *((f"Metadata {key}", value) for key, value in sorted(info.metadata.items())),
    ]


def _branch_fields(info: pfs.BranchInfo) -> list[tuple[str, str]]:
    return [
        ("Name", names.shown_branch(info.branch)),
        ("Head", info.head.id),
        ("Derives from", ", ".join(map(names.shown_branch, info.direct_provenance))),
        ("Derived from it", ", ".join(map(names.shown_branch, info.subvenance))),
        ("Trigger", _rule(info.trigger)),
        ("Created", when(info.created_at)),
        *((f"Metadata {key}", value) for key, value in sorted(info.metadata.items())),
    ]


def _rule(trigger: pfs.Trigger) -> str:
    """A trigger in words, such as "staging: 1K or 5 commits"."""
    if not trigger.branch:
        return ""
    if trigger.cron_spec:
        return f"{trigger.branch}: at {trigger.cron_spec}"
    conditions = [
        trigger.size,
        f"{trigger.commits} commits" if trigger.commits else "",
        f"not before {trigger.rate_limit_spec}" if trigger.rate_limit_spec else "",
    ]
    said = (" and " if trigger.all else " or ").join(filter(None, conditions))
    return f"{trigger.branch}: {said or ('every commit' if trigger.all else 'never')}"
