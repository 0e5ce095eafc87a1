"""What the demo prints: verdicts, what ran again, and where a verdict comes from."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from deploy.demo.lineage import Origin
from deploy.demo.watch import Found


@dataclass(frozen=True)
class Verdict:
    """What was said of one picture, how surely, and what is true of it."""

    picture: str
    verdict: str
    probability: float
    truth: str

    @property
    def right(self) -> bool:
        return self.verdict == self.truth


def read_verdicts(folder: Path, labels: Path) -> list[Verdict]:
    """The verdicts of a folder as the classify pipeline writes them, with their labels, by name."""
    truth = {row["picture"]: row["label"] for row in csv.DictReader(labels.read_text().splitlines())}
    found = []
    for file in sorted(folder.glob("*.json")):
        said: dict[str, Any] = json.loads(file.read_text())
        likely = float(said["probabilities"][said["verdict"]])
        found.append(Verdict(said["picture"], said["verdict"], likely, truth.get(said["picture"], "")))
    return found


def write_verdicts(verdicts: Sequence[Verdict], path: Path) -> None:
    """The same as a table for spreadsheets."""
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["picture", "verdict", "probability", "label"])
        table.writerows([one.picture, one.verdict, f"{one.probability:.4f}", one.truth] for one in verdicts)


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Every picture with its verdict, in two halves beside each other."""
    table = Table(title=f"Verdicts on {len(verdicts)} pictures that were not trained on", title_justify="left")
    for _ in range(2):
        for name in ("picture", "verdict", "sure", "really"):
            table.add_column(name, justify="right" if name == "sure" else "left")
    half = (len(verdicts) + 1) // 2
    for number in range(half):
        right = verdicts[half + number] if half + number < len(verdicts) else None
        table.add_row(*_cells(verdicts[number]), *(_cells(right) if right else ()))
    return table


def _cells(one: Verdict) -> tuple[str, str, str, str]:
    colour = "green" if one.right else "red"
    return one.picture, f"[{colour}]{one.verdict}[/]", f"{one.probability:.0%}", "" if one.right else one.truth


def accuracy(report: dict[str, Any]) -> str:
    """The report's numbers in a sentence."""
    count = report["pictures"]
    right = round(report["accuracy"] * count)
    base = f"always answering the most frequent label: {report['baseline_accuracy']:.0%}"
    return f"{right} of {count} right ({report['accuracy']:.0%}; {base})"


def ran_table(names: Sequence[str], found: Found, title: str) -> Table:
    """Per pipeline how many datums ran and how many were skipped."""
    table = Table(title=title, title_justify="left")
    for column in ("pipeline", "ran", "skipped", "of"):
        table.add_column(column, justify="left" if column == "pipeline" else "right")
    for name in names:
        if name in found:
            info = found[name]
            table.add_row(name, str(info.data_processed), str(info.data_skipped), str(info.data_total))
        else:
            table.add_row(name, "no job", "", "")
    return table


def lineage_tree(origin: Origin, title: str) -> Tree:
    """Where a file comes from, one branch for each file that was read."""
    tree = Tree(f"[bold]{title}[/] (files: repo@commit:path hash)")
    _grow(tree, origin)
    return tree


def _grow(tree: Tree, origin: Origin) -> None:
    name = f"{origin.repo}@{origin.commit[:8]}:{origin.path}"
    branch = tree.add(f"[cyan]{name}[/]  {origin.hash[:8]}")
    if not origin.datum:
        return
    branch = branch.add(f"[dim]datum {origin.datum[:8]} of job {origin.job[:-24]} read[/]")
    for read in origin.read:
        _grow(branch, read)


def say(console: Console, text: str) -> None:
    """A step of the story."""
    console.print(f"\n[bold]{text}[/]")
