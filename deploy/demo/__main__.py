"""`make demo`: pictures in, verdicts out, then one picture changes and only what depends on it runs again.

Needs neither root nor Docker, leaves nothing behind but demo-result/. What the pipelines do is told in
examples/image-quality/README.md; here is only the order of things.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from datamill import Client
from datamill.errors import DatamillError
from deploy.demo import show, watch
from deploy.demo.instance import ROOT, NotStarted, instance
from deploy.demo.lineage import Untraceable, trace
from deploy.demo.show import say

EXAMPLE = ROOT / "examples" / "image-quality"
PIPELINES = ("vol", "sob", "fft", "features", "train", "classify", "report")
REPOS = ("images", "labels", "scripts")
CHANGED = "astronaut-1"


@dataclass(frozen=True)
class Demo:
    """What the steps share."""

    client: Client
    console: Console
    pictures: Path
    result: Path

    def prepare(self) -> None:
        """Repos with their first files, and the pipelines over them."""
        say(self.console, "Repos and their first commits")
        for repo in REPOS:
            self.client.create_repo(repo)
            folder = EXAMPLE / "scripts" if repo == "scripts" else self.pictures / repo
            self.console.print(f"  {repo}: {self.client.put_folder(folder, f'{repo}@master:/')} files")
        say(self.console, "Pipelines")
        for name in PIPELINES:
            spec = json.loads((EXAMPLE / "pipelines" / f"{name}.json").read_text())
            self.client.create_pipeline(spec)
            self.console.print(f"  {name}: {spec['description']}")

    def judge(self) -> None:
        """Wait for the first verdicts and show them."""
        say(self.console, "The first run")
        began = time.monotonic()
        found = watch.follow(self.console, PIPELINES, lambda: watch.newest(self.client))
        self.client.wait_commit("report@master")
        title = f"First run: {time.monotonic() - began:.0f} s"
        self.console.print(show.ran_table(PIPELINES, found, title))
        labels = self.pictures / "labels" / "judge.csv"
        verdicts = self._fetch(self.pictures / "images" / "judge", labels, "before")
        self.console.print(show.verdict_table(verdicts))
        self.console.print(f"  {show.accuracy(self._report())}")

    def change(self) -> None:
        """Replace one picture, then its label, and show what ran."""
        fresh = self.pictures / "replacement"
        picture = fresh / "images" / "judge" / f"{CHANGED}.png"
        say(self.console, f"One picture is replaced: {CHANGED}, sharp until now, is out of focus")
        id = self._put(f"images@master:/judge/{CHANGED}.png", picture)
        found = watch.follow(self.console, PIPELINES, lambda: watch.of_change(self.client, id))
        self.console.print(show.ran_table(PIPELINES, found, "What ran again"))
        say(self.console, "Its label is corrected")
        id = self._put("labels@master:/judge.csv", fresh / "labels" / "judge.csv")
        names = [name for name in PIPELINES if name in ("train", "classify", "report")]
        found = watch.follow(self.console, names, lambda: watch.of_change(self.client, id))
        self.console.print(show.ran_table(PIPELINES, found, "What ran again"))
        self._put_beside(picture, self.pictures / "images" / "judge")
        verdicts = self._fetch(self.pictures / "images" / "judge", fresh / "labels" / "judge.csv", "after")
        self.console.print(f"  {show.accuracy(self._report())}")
        now = next(one for one in verdicts if one.picture == CHANGED)
        self.console.print(f"  {CHANGED} is now judged {now.verdict} ({now.probability:.0%})")

    def lineage(self) -> None:
        """From one verdict back to its picture, and that it is the very picture that was put in."""
        say(self.console, "Where a verdict comes from")
        verdict = f"classify@master:/{CHANGED}.json"
        origin = trace(self.client, verdict, stem=CHANGED, into=frozenset({"classify", "features", "vol"}))
        self.console.print(show.lineage_tree(origin, f"the verdict on {CHANGED}"))
        held = self.client.get(f"images@master:/judge/{CHANGED}.png")
        same = held == (self.pictures / "images" / "judge" / f"{CHANGED}.png").read_bytes()
        self.console.print(f"  the stored picture is {'' if same else 'NOT '}byte for byte the one that was put in")
        if not same:
            raise Untraceable(f"{CHANGED}.png in the repo differs from the file that was put there")

    def _put(self, file: str, source: Path) -> str:
        """Put one file as a commit of its own; returns the commit's id, which is that of the jobs it sets off."""
        where, _, path = file.partition(":")
        with self.client.commit(where) as commit:
            commit.put(path, source)
        return commit.id

    def _put_beside(self, source: Path, folder: Path) -> None:
        (folder / source.name).write_bytes(source.read_bytes())

    def _fetch(self, pictures: Path, labels: Path, name: str) -> list[show.Verdict]:
        """Get the verdicts, and draw the contact sheet of them."""
        folder = self.result / name
        self.client.get_folder("classify@master:/", folder)
        sheet = self.result / f"contact-sheet-{name}.png"
        run_example("contact_sheet.py", pictures, folder, sheet, "--labels", labels, "--mark", CHANGED)
        verdicts = show.read_verdicts(folder, labels)
        show.write_verdicts(verdicts, self.result / f"verdicts-{name}.csv")
        self.console.print(f"  contact sheet: {sheet}")
        return verdicts

    def _report(self) -> dict[str, Any]:
        raw = self.client.get("report@master:/report.json")
        (self.result / "report.json").write_bytes(raw)
        found: dict[str, Any] = json.loads(raw)
        return found


def run_example(script: str, *arguments: object) -> str:
    """Run one of the example's own programs; returns what it printed."""
    command = [sys.executable, script, *map(str, arguments)]
    return subprocess.run(command, cwd=EXAMPLE, check=True, stdout=subprocess.PIPE, text=True).stdout


def demo(console: Console, result: Path) -> None:
    """The whole story."""
    with tempfile.TemporaryDirectory(prefix="datamill-demo-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        say(console, "Pictures")
        console.print(run_example("make_pictures.py", folder / "pictures").rstrip())
        console.print(run_example("make_pictures.py", folder / "pictures", "--replace", CHANGED).rstrip())
        say(console, "An instance in a temporary directory")
        with instance(folder / "data", keep_logs=result / "logs") as address, Client(address) as client:
            console.print(f"  {address}")
            story = Demo(client, console, folder / "pictures", result)
            story.prepare()
            story.judge()
            story.change()
            story.lineage()


def main() -> int:
    """Run the demo; 0 when all of it worked."""
    parser = argparse.ArgumentParser(prog="make demo", description="The image-quality example, end to end.")
    parser.add_argument("--result", type=Path, default=ROOT / "demo-result", help="where sheet and tables are put")
    result: Path = parser.parse_args().result.absolute()
    for earlier in ("before", "after", "logs"):
        shutil.rmtree(result / earlier, ignore_errors=True)
    result.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the instance is stopped then, too
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    began = time.monotonic()
    try:
        demo(console, result)
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    except (
        NotStarted,
        DatamillError,
        watch.JobFailed,
        Untraceable,
        TimeoutError,
        subprocess.CalledProcessError,
    ) as bad:
        console.print(f"[red]the demo failed[/]: {bad}", markup=True)
        console.print(f"  logs: {result / 'logs'}")
        return 1
    say(console, f"Done in {time.monotonic() - began:.0f} s. Look at {result / 'contact-sheet-after.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
