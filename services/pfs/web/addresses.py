"""What an address means: /pfs/<project>/<repo>/<commit or branch>/<path>, and how one is written.

Names are cut at "/" before they are decoded. A repo is its name, or name.type where it is no user's, as in sentences.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from services.kit.errors import NotFound
from services.pfs.domain.keys import USER, CommitRef, RepoKey
from services.pfs.domain.names import DEFAULT_PROJECT, is_id

FORM = "/pfs/<project>/<repo>/<commit or branch>/<path>"
SAFE = "/~^;:@,=&$'"  # what an address may hold as it is


class NoAddress(NotFound):
    def __init__(self, shown: str) -> None:
        super().__init__(f"{shown} is no address of a file; one is {FORM}")


@dataclass(frozen=True, slots=True)
class Address:
    """names: project, repo and commit or branch, as far as they are said. path: below them, "" when there is none.

    closed: it ends in "/".
    """

    names: tuple[str, ...]
    path: str
    closed: bool

    @property
    def repo(self) -> RepoKey:
        """Of one that says two names or three."""
        return repo_key(self.names[0], self.names[1])

    @property
    def commit(self) -> CommitRef:
        """Of one that says three names."""
        return commit_ref(self.repo, self.names[2])


def repo_key(project: str, repo: str) -> RepoKey:
    name, _, kind = repo.partition(".")
    return RepoKey(project or DEFAULT_PROJECT, name, kind or USER)


def commit_ref(repo: RepoKey, text: str) -> CommitRef:
    """text: an id, a branch, or steps from either."""
    return CommitRef(repo, text.lower() if is_id(text.lower()) else text)


def read(raw: str) -> Address:
    """raw: what follows "/pfs/", without the query. Raises NoAddress."""
    parts = raw.split("/", 3)
    names = tuple(unquote(part) for part in parts[:3])
    if len(parts) == 4:
        path = "/" + unquote(parts[3])
        closed = path.endswith("/")
    else:
        path, closed = "", not parts[-1]
        names = names[:-1] if closed else names
    if not all(name and name.isprintable() for name in names):
        raise NoAddress("/pfs/" + unquote(raw))
    return Address(names, path, closed)


def written(*names: str) -> str:
    """An address, of names each of which may hold anything; the last one may be a path, with its "/" at the front."""
    last = names[-1] if names and names[-1].startswith("/") else None
    front = names if last is None else names[:-1]
    return "/pfs/" + "/".join(quote(name, safe="~^") for name in front) + (quote(last, safe=SAFE) if last else "")
