"""Counts how often the verdicts on held-out pictures are right.

Reads /pfs/classify/*.json and /pfs/labels/judge.csv, writes /pfs/out/report.json. Nothing earlier in the DAG reads
these labels. The baseline is what always answering the most frequent label would score on the same pictures.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from pathlib import Path


def report(truth: dict[str, str], verdicts: dict[str, str]) -> dict[str, object]:
    """Accuracy, recall per label and confusion (true label, then verdict) over pictures that have both.

    Raises ValueError when no picture has both.
    """
    pairs = [(truth[picture], verdicts[picture]) for picture in sorted(truth) if picture in verdicts]
    if not pairs:
        raise ValueError("no judged picture has a label")
    known, counts = Counter(true for true, _ in pairs), Counter(pairs)
    labels = sorted({label for pair in pairs for label in pair})
    return {
        "pictures": len(pairs),
        "without_label": len(verdicts.keys() - truth.keys()),
        "without_verdict": len(truth.keys() - verdicts.keys()),
        "accuracy": sum(counts[label, label] for label in labels) / len(pairs),
        "baseline_accuracy": max(known.values()) / len(pairs),
        "recall": {label: counts[label, label] / known[label] for label in labels if known[label]},
        "confusion": {true: {said: counts[true, said] for said in labels} for true in labels},
        "wrong": sorted(picture for picture in truth if verdicts.get(picture, truth[picture]) != truth[picture]),
    }


def main(pfs: Path) -> None:
    table = csv.DictReader((pfs / "labels" / "judge.csv").read_text().splitlines())
    truth = {row["picture"]: row["label"] for row in table}
    said = [json.loads(file.read_text()) for file in sorted((pfs / "classify").glob("*.json"))]
    result = report(truth, {verdict["picture"]: verdict["verdict"] for verdict in said})
    (pfs / "out" / "report.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['accuracy']:.0%} of {result['pictures']} right, baseline {result['baseline_accuracy']:.0%}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/pfs"))
