"""`edit metadata`: pairs of text on projects, repos, branches, commits and the instance."""

import json

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.session import Session, command
from datamill.errors import Invalid
from datamill.wire import metadata_pb2 as wire
from datamill.wire import pfs_v2_pb2 as pfs

FORM = "write TYPE NAME OPERATION DATA, for example: commit images@master add reviewed=yes"


@command(verbs.edit, "metadata")
@click.argument("words", nargs=-1, required=True)
def edit_metadata(session: Session, words: tuple[str, ...]) -> None:
    """Edit pairs of text on things, all edits or none.

    \b
    Four words an edit:  TYPE  NAME  OPERATION  DATA
      TYPE       project, repo, branch, commit or cluster (whose NAME is ".")
      OPERATION  add KEY=VALUE       a new pair
                 edit KEY=VALUE      a pair, there before or not
                 delete KEY          no such pair any more
                 set '{"KEY": "VALUE"}'  these pairs and no others
    """
    if len(words) % 4:
        raise Invalid(FORM)
    edits = [_edit(session, *words[at : at + 4]) for at in range(0, len(words), 4)]
    session.client.edit_metadata(edits)


def _edit(session: Session, kind: str, name: str, operation: str, data: str) -> wire.Edit:
    edit = wire.Edit()
    _aim(session, edit, kind, name)
    match operation:
        case "add" | "edit":
            key, equals, value = data.partition("=")
            if not equals:
                raise Invalid(f"{data!r}: {operation} wants KEY=VALUE")
            if operation == "add":
                edit.add_key.key, edit.add_key.value = key, value
            else:
                edit.edit_key.key, edit.edit_key.value = key, value
        case "delete":
            edit.delete_key.key = data
        case "set" | "replace":
            edit.replace.SetInParent()
            edit.replace.replacement.update(_pairs(data))
        case _:
            raise Invalid(f"{operation!r} is no operation: there is add, edit, delete, set")
    return edit


def _pairs(data: str) -> dict[str, str]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Invalid(f"{data!r}: set wants a JSON object of texts ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Invalid(f"{data!r}: set wants a JSON object of texts")
    return found


def _aim(session: Session, edit: wire.Edit, kind: str, name: str) -> None:
    match kind:
        case "project":
            edit.project.name = names.project(name).name
        case "repo":
            edit.repo.CopyFrom(_repo(names.repo(name, session.project)))
        case "branch":
            edit.branch.CopyFrom(_branch(names.branch(name, session.project)))
        case "commit":
            edit.commit.CopyFrom(_commit(session, name))
        case "cluster":
            edit.cluster.SetInParent()
        case _:
            raise Invalid(f"{kind!r} has no metadata to edit: there is project, repo, branch, commit, cluster")


def _repo(repo: pfs.Repo) -> pfs.RepoPicker:
    project = pfs.ProjectPicker(name=repo.project.name)
    return pfs.RepoPicker(name=pfs.RepoPicker.RepoName(project=project, name=repo.name, type=repo.type))


def _branch(branch: pfs.Branch) -> pfs.BranchPicker:
    return pfs.BranchPicker(name=pfs.BranchPicker.BranchName(repo=_repo(branch.repo), name=branch.name))


def _commit(session: Session, name: str) -> pfs.CommitPicker:
    found = session.client.inspect_commit(names.commit(name, session.project)).commit
    return pfs.CommitPicker(id=pfs.CommitPicker.CommitByGlobalId(repo=_repo(found.repo), id=found.id))
