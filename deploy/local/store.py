"""Where an instance keeps contents and trees: a folder in its data directory, or below a prefix of an S3 bucket.

Holds for ever: a data directory stays with the bucket and prefix it began with; only the address of the server may
change. Credentials come from the environment of `up`, go to the services that need them, and are kept nowhere.
Elsewhere: talking to a store (services/kit/objects), which `check` does in a process of its own.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from deploy.local.layout import CannotRun, Layout, write_whole

VARIABLE = "DATAMILL_STORE"
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
AMAZON = "s3.amazonaws.com"
SECONDS, LOOK_SECONDS = 60, 3.0
_CHECK = (
    "import os, sys\n"
    "from services.kit.config import ConfigError\n"
    "from services.kit.errors import Unavailable\n"
    "from services.kit.objects.opening import open_store\n"
    "try:\n"
    f"    open_store(os.environ[{VARIABLE!r}])\n"
    "except (ConfigError, Unavailable) as problem:\n"
    "    sys.exit(str(problem))\n"
)


def choose(layout: Layout, given: str) -> str:
    """The address of the store, or "" for a folder. given: "" for what it was before. Raises CannotRun."""
    before = kept(layout)
    if not given:
        return before
    if urlsplit(given).scheme != "s3" or "@" in urlsplit(given).netloc:
        raise CannotRun(
            "--store must be like s3://HOST:PORT/BUCKET/PREFIX, without credentials: "
            f"those are taken from {CREDENTIALS[0]} and {CREDENTIALS[1]}"
        )
    if not before and _folder(layout).exists():
        raise CannotRun(
            f"{layout.data_dir} keeps its contents in a folder and stays with it: "
            "leave out --store, or choose another directory with --data-dir"
        )
    if before and _place(before) != _place(given):
        raise CannotRun(
            f"{layout.data_dir} keeps its contents in {_place(before)} and stays with it: "
            "only the server of --store may be another one"
        )
    return given


def keep(layout: Layout, url: str) -> None:
    """Remember the address for the next `up`."""
    if url:
        write_whole(_file(layout), url + "\n")


def check(url: str, root: Path) -> str | None:
    """Why the store cannot be used, or None when it can. root: the folder of the services' code."""
    command = [sys.executable, "-P", "-c", _CHECK]
    env = {**os.environ, "PYTHONPATH": str(root), VARIABLE: url}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=root)
    except subprocess.TimeoutExpired:
        return f"no answer from the store {url} within {SECONDS} s"
    return None if done.returncode == 0 else " ".join(done.stderr.split()) or "the check ended badly"


def answers(url: str) -> bool:
    """Whether an S3 server is there: it need not know who asks, for credentials are not at hand everywhere."""
    parts = urlsplit(url)
    secure = dict(parse_qsl(parts.query)).get("secure", "true").lower() in ("true", "1", "yes")
    kind = HTTPSConnection if secure else HTTPConnection
    connection = kind(parts.netloc or AMAZON, timeout=LOOK_SECONDS)
    try:
        connection.request("HEAD", f"/{_place(url).partition('/')[0]}")
        return connection.getresponse().status < 500
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def of_service(layout: Layout, service: str, url: str) -> str:
    """The address of one service's own part of the store."""
    if not url:
        folder = _folder(layout) if service == "pfs" else layout.data_dir / service / "store"
        return folder.as_uri()
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{service}"))


def credentials(url: str) -> Mapping[str, str]:
    """What a service that uses the store needs in its environment besides its settings."""
    return {name: os.environ[name] for name in CREDENTIALS if url and name in os.environ}


def withheld(layout: Layout) -> tuple[str, ...]:
    """Variables that no other part may inherit, for user code would, too."""
    return CREDENTIALS if kept(layout) else ()


def kept(layout: Layout) -> str:
    """The address that the instance last had; "" for a folder."""
    try:
        return _file(layout).read_text().strip()
    except FileNotFoundError:
        return ""


def _place(url: str) -> str:
    return urlsplit(url).path.strip("/")


def _folder(layout: Layout) -> Path:
    return layout.data_dir / "store"


def _file(layout: Layout) -> Path:
    return layout.data_dir / "store-address"
