"""What the command line makes of the protocol's sentences: each thing said once, and where to look next."""

import grpc
import pytest

from datamill.cli.main import told
from datamill.errors import KINDS, Failed, Unavailable

ID = "0123456789ab4def0123456789abcdef"
NOT_FOUND, UNKNOWN = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        (
            'pick commit tx: commit default/a@b not found\nbranch "b" not found in repo default/a',
            'branch "b" not found in repo default/a; `datamill list branch a` shows what there is',
        ),
        (
            'unable to inspect p/a@b: pick commit tx: commit p/a@b not found\nbranch "b" not found in repo p/a',
            'branch "b" not found in repo p/a; `datamill list branch p/a` shows what there is',
        ),
        (
            f"pick commit tx: commit default/a@{ID} not found\ncommit default/a@{ID} not found",
            f"commit default/a@{ID} not found; `datamill list commit a` shows what there is",
        ),
        (
            "pick commit tx: commit default/a@b not found\nrepo default/a not found",
            "repo default/a not found; `datamill list repo` shows what there is",
        ),
        (
            'branch "b" not found in repo default/a\nbranch (id=0, branch=default/a@b) not found',
            'branch "b" not found in repo default/a; `datamill list branch a` shows what there is',
        ),
        (
            "repo (id=0, project=p, name=a, type=user) not found",
            "repo p/a not found; `datamill list repo --project p` shows what there is",
        ),
        (
            "repo (id=0, project=default, name=a, type=spec) not found",
            "repo default/a.spec not found; `datamill list repo` shows what there is",
        ),
        (
            'error getting project "q": project "q" not found',
            'project "q" not found; `datamill list project` shows what there is',
        ),
        (
            'cannot find project "q": project "q" not found',
            'project "q" not found; `datamill list project` shows what there is',
        ),
        (
            'could not get pipeline information for n: pipeline "default/n" not found',
            'pipeline "default/n" not found; `datamill list pipeline` shows what there is',
        ),
        (
            f'could not get job information for "{ID}"',
            f'could not get job information for "{ID}"; `datamill list job` shows what there is',
        ),
        (
            'failed to get secret: secrets "s" not found',
            'failed to get secret: secrets "s" not found; `datamill list secret` shows what there is',
        ),
        (f"commit/{ID} does not contain item: (/x y)", f"file /x y not found in commit {ID}"),
        (f"no commits found for commitset {ID}", f"no commit has the id {ID}"),
        ("file /x not found in repo default/a at commit ", "file /x not found in repo default/a"),
    ],
)
def test_what_is_missing_is_said_once(said: str, ours: str) -> None:
    assert told(KINDS[NOT_FOUND](said, NOT_FOUND)) == ours


def test_what_was_probably_meant_is_said_where_something_is_missing() -> None:
    error = KINDS[NOT_FOUND]("repo default/imags not found", NOT_FOUND)
    error.add_note("images")
    assert (
        told(error) == 'repo default/imags not found; did you mean "images"? `datamill list repo` shows what there is'
    )


def test_the_words_of_the_gateway_are_not_shown() -> None:
    said = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
    assert told(Unavailable(said, grpc.StatusCode.UNAVAILABLE)) == (
        "the service that answers this is away, perhaps only starting again: `datamill status` shows how it is"
    )


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        ("get file: the commit is forgotten", "the commit is forgotten"),
        (
            "validate DAG at end of transaction: multiple branches from the same repo",
            "multiple branches from the same repo",
        ),
        (
            "matched multiple files. Use GetFileTAR instead",
            "matched multiple files. Use -r to get a folder or several files",
        ),
        ("one thing\nanother", "one thing: another"),
        ("apply edits: edit #0: edit repo default/q: repo default/q not found", "repo default/q not found"),
        (
            "cannot delete project p: repo p/r still exists\ncannot delete project p: repo p/s still exists",
            "cannot delete project p: repo p/r still exists, repo p/s still exists",
        ),
        (
            f"cannot drop commit (default/a@{ID}) with subvenance without recursive",
            f"cannot drop commit default/a@{ID}, which others were made from: -r removes these, too",
        ),
        (
            'branch "b" cannot be deleted because it\'s in the direct provenance of [default/c@d default/c.meta@d]',
            'branch "b" cannot be deleted because [default/c@d] derive from it; -f deletes it nevertheless',
        ),
        (
            "cycle detected because default/b@m is already in the subvenance of default/a@m",
            "default/b@m derives from default/a@m already",
        ),
        ("invalid project name: name (b!d) invalid", "name (b!d) invalid"),
        (
            "error running request 2 of 3: repo default/a already exists",
            "error running request 2 of 3: repo default/a already exists",
        ),
    ],
)
def test_other_sentences_lose_what_says_nothing(said: str, ours: str) -> None:
    assert told(Failed(said, UNKNOWN)) == ours


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        ('pipeline "default/p" already exists', "`datamill update pipeline` changes it"),
        ('failed to create secret: secrets "s" already exists', "to change its values, delete it and create it anew"),
        ("datum matching filter [/a] could not be found for job ID x", "only what runs now can be tried again"),
        (
            'pipeline "default/p" has only 1 versions, not enough to find ancestor 5',
            "`datamill list pipeline --history all` shows them",
        ),
    ],
)
def test_what_can_be_done_about_a_refusal_is_said(said: str, ours: str) -> None:
    assert told(Failed(said, UNKNOWN)) == f"{said}; {ours}"
