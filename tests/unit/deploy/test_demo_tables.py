"""What the demo prints is what it was given: verdicts right and wrong, counts, and a tree of origins."""

import io
import json
from pathlib import Path

from rich.console import Console, RenderableType

from datamill.wire import pps_v2_pb2 as pps
from deploy.demo import show, watch
from deploy.demo.lineage import Origin

NAMES = ("vol", "report")


def _printed(thing: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(thing)
    return out.getvalue()


def _verdicts(folder: Path) -> list[show.Verdict]:
    said = {"a-1": ("ok", 0.9), "a-2": ("blurred", 0.6), "b-1": ("moire", 0.5)}
    for picture, (verdict, likely) in said.items():
        answer = {"picture": picture, "verdict": verdict, "probabilities": {verdict: likely}}
        (folder / f"{picture}.json").write_text(json.dumps(answer))
    labels = folder / "judge.csv"
    labels.write_text("picture,label,source\na-1,ok,a\na-2,moire,a\nb-1,moire,b\n")
    return show.read_verdicts(folder, labels)


def test_verdicts_carry_their_labels(tmp_path: Path) -> None:
    verdicts = _verdicts(tmp_path)
    assert [(one.picture, one.truth, one.right) for one in verdicts] == [
        ("a-1", "ok", True),
        ("a-2", "moire", False),
        ("b-1", "moire", True),
    ]
    text = _printed(show.verdict_table(verdicts))
    assert "on 3 pictures" in text
    assert text.count("moire") == 2  # b-1's verdict, and what a-2 really is
    show.write_verdicts(verdicts, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[2] == "a-2,blurred,0.6000,moire"


def test_accuracy_in_a_sentence() -> None:
    said = show.accuracy({"pictures": 34, "accuracy": 24 / 34, "baseline_accuracy": 12 / 34})
    assert said == "24 of 34 right (71%; always answering the most frequent label: 35%)"


def test_what_ran_is_counted_per_pipeline() -> None:
    found = {"vol": pps.JobInfo(data_processed=1, data_skipped=72, data_total=73)}
    rows = [line.split() for line in _printed(show.ran_table(NAMES, found, "What ran")).splitlines()]
    assert ["│", "vol", "│", "1", "│", "72", "│", "73", "│"] in rows
    assert ["│", "report", "│", "no", "job", "│", "│", "│"] in rows


def test_a_tree_shows_each_file_below_what_was_made_from_it() -> None:
    picture = Origin("images", "c" * 32, "/judge/x.png", "ab" * 32)
    verdict = Origin("vol", "d" * 32, "/judge/x.json", "cd" * 32, "e" * 64, f"vol@{'d' * 32}", [picture])
    lines = _printed(show.lineage_tree(verdict, "x")).splitlines()
    assert "vol@dddddddd:/judge/x.json" in lines[1]
    assert "datum eeeeeeee of job vol@dddddddd read" in lines[2]
    assert "images@cccccccc:/judge/x.png  abababab" in lines[3]


def test_progress_and_counts() -> None:
    info = pps.JobInfo(state=pps.JOB_RUNNING, data_processed=3, data_skipped=2, data_total=10)
    assert watch.counts(info) == "running, 3 ran, 2 skipped"
    text = _printed(watch.progress(NAMES, {"vol": info}))
    assert "5 of 10" in text
    assert "waits" in text
