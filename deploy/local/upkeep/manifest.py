"""The folder of a backup: snapshots/<time>/<service>.db, objects/<service>/<key>, and backup.json, written last.

backup.json says which snapshot counts, so that a backup that was cut off leaves the one before as it was.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.layout import VERSION, CannotRun, write_whole

FORMAT = 2
MANIFEST = "backup.json"


@dataclass(frozen=True)
class Manifest:
    """instance: whose backup it is; databases: SHA-256 of each."""

    instance: str
    snapshot: str
    databases: dict[str, str]


def read(folder: Path) -> Manifest:
    """Raises CannotRun."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
        if found.get("format") != FORMAT:
            raise CannotRun(f"{folder} was made by datamill {found.get('release')}, which this one cannot read")
        return Manifest(found["instance"], found["snapshot"], found["databases"])
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CannotRun(f"{folder} holds no complete backup") from error


def publish(folder: Path, manifest: Manifest) -> None:
    """From now on this snapshot counts."""
    about = {"format": FORMAT, "release": VERSION, "made_at": datetime.now(UTC).isoformat()}
    write_whole(folder / MANIFEST, json.dumps({**about, **asdict(manifest)}, indent=2) + "\n")
    os.sync()


def check_target(folder: Path, instance: str) -> None:
    """Make the folder, unless something else is in it. Raises CannotRun."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / MANIFEST).exists():
        if read(folder).instance != instance:
            raise CannotRun(f"{folder} holds the backup of another instance")
    elif not {path.name for path in folder.iterdir()} <= {"snapshots", "objects"}:  # of a first one that was cut off
        raise CannotRun(f"{folder} holds other things than a backup")


def prune(folder: Path, snapshot: Path, wanted: Collection[Path]) -> None:
    """Remove earlier snapshots, and what only they referred to."""
    for old in (folder / "snapshots").iterdir():
        if old != snapshot:
            shutil.rmtree(old)
    for above, _, files in os.walk(folder / "objects"):
        for path in (Path(above) / name for name in files):
            if path not in wanted:
                path.unlink()


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
