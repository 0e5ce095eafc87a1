"""Where an instance keeps its databases: files of SQLite in its data directory, or schemas of a PostgreSQL server.

Holds for ever: a data directory stays with what it began with; only the address of its server may change.
The address may hold a password: it goes by the environment, is kept for the owner alone, and is shown without it.
Elsewhere: talking to a database (services/kit/storage/database.py), which `check` runs in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from deploy.local.layout import CannotRun, Layout, write_whole

VARIABLE = "DATAMILL_DATABASE_URL"
SECONDS = 30
SCHEMES = {"postgresql", "postgres"}
_CHECK = (
    "import os, sys\n"
    "from services.kit.storage.database import Database\n"
    "from services.kit.errors import Unavailable\n"
    "try:\n"
    f"    Database(os.environ[{VARIABLE!r}]).engine.dispose()\n"
    "except Unavailable as problem:\n"
    "    sys.exit(str(problem))\n"
)


def choose(layout: Layout, given: str) -> str:
    """The address of the server, or "" for SQLite. given: "" for what it was before. Raises CannotRun."""
    before = kept(layout)
    if not given:
        return before
    try:
        parts = urlsplit(given)
        usable = parts.scheme.partition("+")[0] in SCHEMES and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise CannotRun("--database-url must be like postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    if not before and (layout.data_dir / "pfs" / "pfs.db").exists():
        raise CannotRun(
            f"{layout.data_dir} keeps its databases in SQLite and stays with it: "
            "leave out --database-url, or choose another directory with --data-dir"
        )
    return given


def keep(layout: Layout, url: str) -> None:
    """Remember the address for the next `up`."""
    if url:
        write_whole(_file(layout), url + "\n", mode=0o600)


def check(url: str, root: Path) -> str | None:
    """Why the server cannot be used, or None when it can. root: the folder of the services' code."""
    command = [sys.executable, "-P", "-c", _CHECK]
    env = {**os.environ, "PYTHONPATH": str(root), VARIABLE: of_service("pfs", url)}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=root)
    except subprocess.TimeoutExpired:
        return f"cannot use the database {shown(url)}: no answer within {SECONDS} s"
    return None if done.returncode == 0 else " ".join(done.stderr.split()) or "the check ended badly"


def of_service(service: str, url: str) -> str:
    """The address with the schema of one service: datamill_pfs, or another word than datamill with `?schema=`."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    options["schema"] = f"{options.get('schema', 'datamill')}_{service}"
    address, query = url.partition("?")[0], urlencode(options, quote_via=quote, safe="/")
    return f"{address}?{query}"


def shown(url: str) -> str:
    """The address without its password, wherever that is written; "" as it is."""
    if not url:
        return ""
    address, _, query = url.partition("?")
    scheme, _, rest = address.partition("://")
    login, at, place = rest.rpartition("@")
    login = login.partition(":")[0] + ":***" if ":" in login else login
    options = [(key, "***" if key == "password" else value) for key, value in parse_qsl(query)]
    return f"{scheme}://{login}{at}{place}" + (f"?{urlencode(options, safe='/*')}" if options else "")


def kept(layout: Layout) -> str:
    """The address that the instance last had; "" for SQLite."""
    try:
        return _file(layout).read_text().strip()
    except FileNotFoundError:
        return ""


def _file(layout: Layout) -> Path:
    return layout.data_dir / "database"
