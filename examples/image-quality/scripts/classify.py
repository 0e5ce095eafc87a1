"""Judges each picture with the trained model: ok, blurred or moire.

Reads /pfs/features/judge/*.json and /pfs/train/model.json, writes /pfs/out/<picture>.json.
Needs no library: the formula is a sum of three logarithms per class, and it starts in no time.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any


def probabilities(model: dict[str, Any], features: dict[str, float]) -> dict[str, float]:
    """How likely each label is, by Bayes' rule with independent normal features; the values sum to one."""
    scores = {kind["label"]: math.log(kind["prior"]) for kind in model["classes"]}
    for kind in model["classes"]:
        for name in model["features"]:
            mean, variance = kind["mean"][name], kind["variance"][name]
            scores[kind["label"]] -= 0.5 * (math.log(2 * math.pi * variance) + (features[name] - mean) ** 2 / variance)
    best = max(scores.values())
    weights = {label: math.exp(score - best) for label, score in scores.items()}
    return {label: weight / sum(weights.values()) for label, weight in weights.items()}


def main(pfs: Path) -> None:
    model = json.loads((pfs / "train" / "model.json").read_text())
    for file in sorted((pfs / "features" / "judge").glob("*.json")):
        measured = json.loads(file.read_text())
        likely = probabilities(model, measured["features"])
        verdict = max(likely, key=lambda label: likely[label])
        answer = {"picture": measured["picture"], "verdict": verdict, "probabilities": likely}
        (pfs / "out" / file.name).write_text(json.dumps(answer) + "\n")
        print(f"{measured['picture']}: {verdict} ({likely[verdict]:.0%})")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/pfs"))
