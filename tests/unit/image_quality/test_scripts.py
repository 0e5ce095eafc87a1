"""The scripts: each measure falls with blur, and the DAG as a whole beats the baseline on photographs it never saw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.naive_bayes import GaussianNB

from .conftest import MEASURES, Dag

Script = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def sharp() -> NDArray[np.uint8]:
    squares = np.kron(np.indices((16, 16)).sum(axis=0) % 2, np.ones((16, 16))) * 200
    return np.asarray(squares + np.random.default_rng(3).uniform(0, 40, squares.shape), dtype=np.uint8)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_falls_as_blur_grows(script: Script, sharp: NDArray[np.uint8], measure: str) -> None:
    of = getattr(script(f"scripts/{measure}"), measure)
    measured = [of(sharp)] + [of(cv2.GaussianBlur(sharp, (0, 0), sigma)) for sigma in (1.0, 2.0, 4.0)]
    assert measured == sorted(measured, reverse=True)
    assert measured[0] > measured[-1]


@pytest.mark.parametrize("measure", MEASURES)
def test_an_even_picture_is_measured_too(script: Script, measure: str) -> None:
    assert np.isfinite(getattr(script(f"scripts/{measure}"), measure)(np.full((64, 64), 90, np.uint8)))


def test_stripes_fill_the_high_frequencies(script: Script, sharp: NDArray[np.uint8]) -> None:
    fft = script("scripts/fft").fft
    soft = cv2.GaussianBlur(sharp, (0, 0), 3.0)
    stripes = 20 * np.sin(np.arange(soft.shape[1]) * 2 * np.pi / 2.7)
    assert fft(np.clip(soft + stripes, 0, 255).astype(np.uint8)) > fft(soft)


def test_a_file_that_is_no_picture_is_named(script: Script, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "torn.png").write_bytes(b"not a picture")
    with pytest.raises(SystemExit, match=r"torn\.png is not a picture"):
        script("scripts/vol").main(tmp_path)


def test_held_out_accuracy_is_above_the_baseline(dag: Dag, pictures: Path, make_pictures: ModuleType) -> None:
    report = json.loads((dag.repos / "report" / "report.json").read_text())
    rows = make_pictures.read_labels(pictures / "labels" / "judge.csv")
    assert report["pictures"] == len(rows)
    assert report["without_label"] == report["without_verdict"] == 0
    assert report["accuracy"] > report["baseline_accuracy"] + 0.2
    assert report["accuracy"] == pytest.approx(1 - len(report["wrong"]) / len(rows))


def test_the_plain_formula_is_that_of_scikit_learn(script: Script) -> None:
    rng = np.random.default_rng(5)
    table = np.concatenate([rng.normal(shift, 1 + shift, (20, 3)) for shift in (0.0, 1.0, 2.0)])
    labels = [label for label in ("blurred", "moire", "ok") for _ in range(20)]
    model = script("scripts/train").fit(["a", "b", "c"], table, labels)
    expected = GaussianNB().fit(table, labels).predict_proba(table)
    for row, wanted in zip(table, expected, strict=True):
        likely = script("scripts/classify").probabilities(model, dict(zip("abc", row, strict=True)))
        assert [likely[label] for label in ("blurred", "moire", "ok")] == pytest.approx(wanted.tolist())


def test_the_report_counts_by_hand(script: Script) -> None:
    truth = {"a": "ok", "b": "ok", "c": "moire", "d": "moire", "e": "ok"}
    verdicts = {"a": "ok", "b": "moire", "c": "moire", "d": "ok", "x": "ok"}
    report = script("scripts/report").report(truth, verdicts)
    assert report["pictures"] == 4
    assert report["without_label"] == 1
    assert report["without_verdict"] == 1
    assert report["accuracy"] == report["baseline_accuracy"] == 0.5
    assert report["confusion"] == {"ok": {"ok": 1, "moire": 1}, "moire": {"ok": 1, "moire": 1}}
    assert report["recall"] == {"ok": 0.5, "moire": 0.5}
    assert report["wrong"] == ["b", "d"]


def test_one_replaced_picture_changes_only_its_own_results(
    dag: Dag, pictures: Path, make_pictures: ModuleType, tmp_path: Path
) -> None:
    changed = make_pictures.write_replacement(pictures, None)
    after = Dag(repos=tmp_path / "repos", pfs=tmp_path / "pfs")
    for file in [*(pictures / "images").rglob("*.png"), *(pictures / "labels").glob("*.csv")]:
        inside = file.relative_to(pictures)
        new = pictures / "replacement" / inside
        (after.repos / inside).parent.mkdir(parents=True, exist_ok=True)
        (after.repos / inside).symlink_to(new if new.exists() else file)
    after.run_all()
    for pipeline in (*MEASURES, "features", "train", "classify"):
        before = {file.relative_to(dag.repos): file.read_bytes() for file in (dag.repos / pipeline).rglob("*.json")}
        moved = {path.stem for path, content in before.items() if (after.repos / path).read_bytes() != content}
        assert moved == (set() if pipeline == "train" else {changed.picture})
    file = Path("classify") / f"{changed.picture}.json"
    said = [json.loads((repos / file).read_text())["verdict"] for repos in (dag.repos, after.repos)]
    assert said == ["ok", "blurred"]
