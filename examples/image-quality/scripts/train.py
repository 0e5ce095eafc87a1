"""Fits a Gaussian naive Bayes classifier to the labelled pictures and writes it as plain JSON.

Reads /pfs/features/train/*.json and /pfs/labels/train.csv (picture, label, source),
writes /pfs/out/model.json and /pfs/out/cross-validation.json.
Each photograph in turn is left out of the fit and judged by the rest. That is an estimate made from training pictures
alone; pictures that no fit has seen are counted in report.py.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.naive_bayes import GaussianNB


def fit(names: list[str], table: NDArray[np.float64], labels: list[str]) -> dict[str, object]:
    """The fitted model: per class its prior and, per feature, mean and variance (sklearn's smoothing included)."""
    bayes = GaussianNB().fit(table, labels)
    classes = [
        {
            "label": str(label),
            "prior": float(prior),
            "mean": dict(zip(names, map(float, mean), strict=True)),
            "variance": dict(zip(names, map(float, variance), strict=True)),
        }
        for label, prior, mean, variance in zip(
            bayes.classes_, bayes.class_prior_, bayes.theta_, bayes.var_, strict=True
        )
    ]
    return {"kind": "gaussian naive bayes", "pictures": len(labels), "features": names, "classes": classes}


def cross_validate(table: NDArray[np.float64], labels: list[str], sources: list[str]) -> dict[str, object]:
    """Accuracy when every photograph is judged by a model that saw none of its pictures."""
    said = cross_val_predict(GaussianNB(), table, labels, groups=sources, cv=LeaveOneGroupOut())
    right = int(np.sum(said == np.asarray(labels)))
    return {"pictures": len(labels), "photographs": len(set(sources)), "accuracy": right / len(labels)}


def main(pfs: Path) -> None:
    rows = {row["picture"]: row for row in csv.DictReader((pfs / "labels" / "train.csv").read_text().splitlines())}
    measured = [json.loads(file.read_text()) for file in sorted((pfs / "features" / "train").glob("*.json"))]
    known = [picture for picture in measured if picture["picture"] in rows]
    if not known:
        raise SystemExit("none of the training pictures has a label in train.csv")
    names = sorted(known[0]["features"])
    table = np.array([[picture["features"][name] for name in names] for picture in known])
    labels = [rows[picture["picture"]]["label"] for picture in known]
    sources = [rows[picture["picture"]]["source"] for picture in known]
    checked = cross_validate(table, labels, sources)
    (pfs / "out" / "model.json").write_text(json.dumps(fit(names, table, labels), indent=2) + "\n")
    (pfs / "out" / "cross-validation.json").write_text(json.dumps(checked, indent=2) + "\n")
    print(f"fitted to {len(known)} pictures, {len(measured) - len(known)} without a label left out")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/pfs"))
