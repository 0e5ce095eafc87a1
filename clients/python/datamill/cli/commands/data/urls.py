"""`datamill url`: where browsers, curl and other programs find a file. Says it without asking the server."""

from urllib.parse import quote

import click

from datamill import names
from datamill.cli import verbs
from datamill.cli.output import emit
from datamill.cli.session import Session, command
from datamill.transport import target

PLAIN = "/~^;:@,=&$'"  # what an address may hold as it is


@command(verbs.root, "url")
@click.argument("file")
def url(session: Session, file: str) -> None:
    """Print the address of a file or directory over HTTP, REPO@REF[:/PATH].

    For browsers, curl and programs: `curl -O $(datamill url images@master:/one.jpg)`.
    """
    wanted = names.file(file, session.project, path="/")
    where, secure = target(session.address)
    repo = wanted.commit.repo
    kind = "" if repo.type in ("", "user") else f".{repo.type}"
    ref = wanted.commit.id or wanted.commit.branch.name
    path = "/".join(map(quote, (repo.project.name, repo.name + kind))) + f"/{quote(ref, safe='~^')}"
    emit(f"{'https' if secure else 'http'}://{where}/pfs/{path}{quote(wanted.path, safe=PLAIN)}")
