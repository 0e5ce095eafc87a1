"""Commands about commits and commit sets."""

from collections.abc import Iterable, Iterator

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.output import Raw, emit, listing, one, size, when
from datamill.cli.reasons import way_on
from datamill.cli.session import EVERYWHERE, RAW, Session, Unsuccessful, command
from datamill.wire import pfs_v2_pb2 as pfs

HEADERS = ("REPO", "COMMIT", "STARTED", "STATE", "SIZE", "ORIGIN", "DESCRIPTION")


@command(verbs.start, "commit")
@click.argument("branch")
@click.option("-p", "--parent", metavar="COMMIT", help="Continue this one instead of the branch's head.")
@click.option("-m", "--description", "--message", default="", help="Free text.")
def start_commit(session: Session, branch: str, parent: str | None, description: str) -> None:
    """Open a commit on REPO@BRANCH, and print its id."""
    where = names.branch(branch, session.project)
    if parent is not None and "@" not in parent:
        parent = f"{branch.partition('@')[0]}@{parent}"
    commit = None if parent is None else names.commit(parent, session.project)
    emit(session.client.start_commit(where, parent=commit, description=description).id)


@command(verbs.finish, "commit")
@click.argument("commit")
@click.option("-m", "--description", "--message", default="", help="Replaces the text given at its start.")
@click.option("-f", "--force", is_flag=True, help="Even when a pipeline is to finish it.")
def finish_commit(session: Session, commit: str, description: str, force: bool) -> None:
    """Close a commit for writing."""
    wanted = names.commit(commit, session.project)
    session.client.finish_commit(wanted, description=description, force=force)


@command(verbs.inspect, "commit")
@click.argument("commit")
@RAW
def inspect_commit(session: Session, commit: str, raw: Raw) -> None:
    """Show a commit (REPO@REF), or all commits of a change (ID)."""
    if names.is_id(commit):
        listing(session.client.inspect_commit_set(commit.lower()), HEADERS, _row, raw=raw)
        return
    one(session.client.inspect_commit(names.commit(commit, session.project)), _fields, raw=raw)


@command(verbs.list_, "commit")
@click.argument("where", required=False)
@click.option("-f", "--from", "since", metavar="COMMIT", help="Only those after this one.")
@click.option("-n", "--number", default=0, metavar="N", help="At most so many.")
@click.option("--origin", type=click.Choice(["user", "auto", "any"]), default="any", help="Only of this origin.")
@EVERYWHERE
@RAW
def list_commit(
    session: Session, where: str | None, since: str | None, number: int, origin: str, everywhere: bool, raw: Raw
) -> None:
    """List the commits of REPO or REPO@BRANCH, of a change (ID), or, without any, all changes."""
    client = session.client
    if where is None:
        sets = client.list_commit_sets(project=None if everywhere else session.project)
        listing(session.of_project(sets, everywhere), ("ID", "COMMITS", "REPOS", "STARTED"), _set_row, raw=raw)
        return
    if names.is_id(where):
        listing(client.inspect_commit_set(where.lower()), HEADERS, _row, raw=raw)
        return
    kind = pfs.OriginKind.ORIGIN_KIND_UNKNOWN if origin == "any" else pfs.OriginKind.Value(origin.upper())
    to = names.commit(where, session.project) if "@" in where else None
    if to is None and since is not None:
        raise click.UsageError("--from needs a branch or commit to come from: REPO@BRANCH")
    if since is not None and "@" not in since:
        since = f"{where.partition('@')[0]}@{since}"
    commits = client.list_commits(
        None if to is not None else names.repo(where, session.project),
        to=to,
        since=None if since is None else names.commit(since, session.project),
        number=number,
        origin=kind,
    )
    listing(commits, HEADERS, _row, raw=raw)


@command(verbs.wait, "commit")
@click.argument("commit")
@RAW
def wait_commit(session: Session, commit: str, raw: Raw) -> None:
    """Wait until a commit (REPO@REF), or every commit of a change (ID), is finished."""
    seen = list[pfs.CommitInfo]()
    listing(_ended(session, commit, seen), HEADERS, _row, raw=raw)
    for info in seen:
        if info.error:
            way = way_on(info.error, names.shown_repo(info.commit.repo), info.commit.id)
            raise Unsuccessful(f"commit {names.shown_commit(info.commit)} finished with an error: {info.error}{way}")


def _ended(session: Session, commit: str, seen: list[pfs.CommitInfo]) -> Iterator[pfs.CommitInfo]:
    """Commits as they end, which are kept in `seen`, too: an error is told after the list."""
    waited: Iterable[pfs.CommitInfo]
    if names.is_id(commit):
        waited = session.client.inspect_commit_set(commit.lower(), wait=True)
    else:
        waited = [session.client.wait_commit(names.commit(commit, session.project))]
    for info in waited:
        seen.append(info)
        yield info


@command(verbs.squash, "commit")
@click.argument("commit")
@click.option("-r", "--recursive", is_flag=True, help="Together with all commits made from it.")
def squash_commit(session: Session, commit: str, recursive: bool) -> None:
    """Remove a commit (REPO@REF) or a change (ID); what it wrote stays in those after it."""
    if names.is_id(commit):
        session.client.squash_commit_set(commit.lower())
    else:
        session.client.squash_commit(names.commit(commit, session.project), recursive=recursive)


@command(verbs.delete, "commit")
@click.argument("commit")
@click.option("-r", "--recursive", is_flag=True, help="Together with all commits made from it.")
def delete_commit(session: Session, commit: str, recursive: bool) -> None:
    """Remove the newest commit (REPO@REF) or change (ID), together with what it wrote."""
    _drop(session, commit, recursive)


@command(verbs.drop, "commit")
@click.argument("commit")
@click.option("-r", "--recursive", is_flag=True, help="Together with all commits made from it.")
def drop_commit(session: Session, commit: str, recursive: bool) -> None:
    """Another word for `delete commit`."""
    _drop(session, commit, recursive)


def _drop(session: Session, commit: str, recursive: bool) -> None:
    if names.is_id(commit):
        session.client.drop_commit_set(commit.lower())
    else:
        session.client.drop_commit(names.commit(commit, session.project), recursive=recursive)


@command(verbs.find, "commit")
@click.argument("file")
@click.option("--limit", default=0, metavar="N", help="At most so many.")
@RAW
def find_commit(session: Session, file: str, limit: int, raw: Raw) -> None:
    """Find the commits that added, changed or deleted REPO@REF:/PATH, newest first."""
    found = session.client.find_commits(names.file(file, session.project), limit=limit)
    hits = (item for item in found if raw or item.HasField("found_commit"))
    listing(hits, ("COMMIT",), lambda item: (item.found_commit.id,), raw=raw)


def state_of(info: pfs.CommitInfo) -> str:
    if info.error:
        return "error"
    return "finished" if info.HasField("finished") else "finishing" if info.HasField("finishing") else "open"


def _row(info: pfs.CommitInfo) -> tuple[str, ...]:
    return (
        names.shown_repo(info.commit.repo),
        info.commit.id,
        when(info.started),
        state_of(info),
        size(info.details.size_bytes or info.size_bytes_upper_bound),
        pfs.OriginKind.Name(info.origin.kind).lower(),
        info.description or info.error,
    )


def _set_row(info: pfs.CommitSetInfo) -> tuple[str, ...]:
    repos = dict.fromkeys(one.commit.repo.name for one in info.commits if one.commit.repo.type in ("", "user"))
    started = max((one.started.seconds for one in info.commits), default=0)
    newest = next((one.started for one in info.commits if one.started.seconds == started), None)
    return (
        info.commit_set.id,
        str(len(info.commits)),
        ", ".join(repos),
        when(newest) if newest else "-",
    )


def _fields(info: pfs.CommitInfo) -> list[tuple[str, str]]:
    return [
        ("Commit", names.shown_commit(info.commit)),
        ("State", state_of(info)),
        ("Error", info.error),
        ("Description", info.description),
        ("Origin", pfs.OriginKind.Name(info.origin.kind).lower()),
        ("Parent", info.parent_commit.id),
        ("Children", ", ".join(child.id for child in info.child_commits)),
        ("Made from", "\n".join(map(names.shown_commit, info.direct_provenance))),
        ("Made into", "\n".join(map(names.shown_commit, info.direct_subvenance))),
        ("Started", when(info.started)),
        ("Finished", when(info.finished) if info.HasField("finished") else ""),
        ("Size", size(info.details.size_bytes)),
        *((f"Metadata {key}", value) for key, value in sorted(info.metadata.items())),
    ]
