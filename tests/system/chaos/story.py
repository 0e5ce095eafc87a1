"""The example of examples/image-quality from nothing to its verdicts, then changed twice, as the demo tells it.

Decided here: which of its pictures are taken, so that it is done in seconds, and what is compared of two such runs.
Elsewhere: the demo itself, with all the pictures (deploy/demo).
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datamill.wire import pps_v2_pb2 as pps
from deploy.demo.__main__ import CHANGED, EXAMPLE, PIPELINES, REPOS
from tests.system.chaos.patient import Patient

SOURCES = ("chelsea", "camera", "astronaut", "coins")  # two to train with, two held out
AFTER_LABELS = ("train", "classify", "report")


@dataclass
class Outcome:
    """What must not depend on what was killed. Keys: "step pipeline"."""

    files: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path → hash of the pipeline's output."""
    records: dict[str, list[str]] = field(default_factory=dict)
    """Paths of the meta repo: what is kept of each datum."""
    counts: dict[str, list[str]] = field(default_factory=dict)
    """A line for each job there is by then, newest first."""

    def note(self, client: Patient, step: str, name: str, id: str) -> None:
        """Once the job has ended."""
        key, info = f"{step} {name}", client.ended(name, id)
        assert info.state == pps.JOB_SUCCESS, f"{key}: {info.reason}"
        assert len({one.datum.id for one in client.datums(name, id)}) == info.data_total, key
        self.files[key] = client.hashes(name, id)
        self.records[key] = sorted(client.hashes(f"{name}.meta", id))
        self.counts[key] = [_counted(one) for one in client.jobs(name)]


def _counted(info: pps.JobInfo) -> str:
    return (
        f"{info.data_total} datums: {info.data_processed} processed, {info.data_skipped} skipped, "
        f"{info.data_failed} failed, {info.data_recovered} recovered"
    )


def make_pictures(folder: Path) -> None:
    """The example's pictures, all of them, and the replacement of one."""
    for more in ([], ["--replace", CHANGED]):
        command = [sys.executable, str(EXAMPLE / "make_pictures.py"), str(folder), *more]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def tell(client: Patient, pictures: Path) -> Outcome:
    """Run the DAG, replace a picture, correct its label."""
    outcome = Outcome()
    for repo in REPOS:
        client.have_repo(repo)
        folder = EXAMPLE / "scripts" if repo == "scripts" else pictures / repo
        client.have_commit(f"{repo}@master", _taken(folder))
    for name in PIPELINES:
        client.have_pipeline(name, json.loads((EXAMPLE / "pipelines" / f"{name}.json").read_text()))
    for name in PIPELINES:
        outcome.note(client, "first", name, client.head(f"{name}@master"))
    changed = f"/judge/{CHANGED}.png"
    after = pictures / "replacement"
    id = client.have_commit("images@master", {changed: after / "images" / changed[1:]})
    _note_all(outcome, client, "picture", PIPELINES, id)
    id = client.have_commit("labels@master", {"/judge.csv": after / "labels" / "judge.csv"})
    _note_all(outcome, client, "label", AFTER_LABELS, id)
    return outcome


def _note_all(outcome: Outcome, client: Patient, step: str, names: Sequence[str], id: str) -> None:
    for name in names:
        outcome.note(client, step, name, id)


def _taken(folder: Path) -> dict[str, Path]:
    """The files of a repo; of the pictures only those of a few sources."""
    files = {f"/{file.relative_to(folder)}": file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {path: file for path, file in files.items() if file.suffix != ".png" or file.name.startswith(SOURCES)}
