"""The contact sheet: right is green, wrong is red, and a picture without verdict or label is still drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image


@pytest.fixture
def sheet(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("contact_sheet")


def _folder(tmp_path: Path, verdicts: dict[str, str | None]) -> tuple[Path, Path]:
    pictures, said = tmp_path / "pictures", tmp_path / "verdicts"
    pictures.mkdir()
    said.mkdir()
    for name, verdict in verdicts.items():
        Image.new("RGB", (64, 64), "white").save(pictures / f"{name}.png")
        if verdict:
            answer = {"picture": name, "verdict": verdict, "probabilities": {verdict: 0.9}}
            (said / f"{name}.json").write_text(json.dumps(answer))
    return pictures, said


def _colours(picture: Image.Image) -> set[str]:
    found = picture.getcolors(maxcolors=1 << 24)
    assert found is not None
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in found if isinstance(colour, tuple)}


@pytest.mark.parametrize(("verdict", "label"), [("ok", "RIGHT"), ("moire", "WRONG"), (None, "NEUTRAL")])
def test_a_verdict_has_its_colour(sheet: ModuleType, tmp_path: Path, verdict: str | None, label: str) -> None:
    pictures, said = _folder(tmp_path, {"a-1": verdict})
    labels = tmp_path / "labels.csv"
    labels.write_text("picture,label,source\na-1,ok,a\n")
    drawn = _colours(sheet.draw_sheet(sheet.read_judged(pictures, said, labels)))
    assert drawn & {sheet.RIGHT, sheet.WRONG, sheet.NEUTRAL} == {getattr(sheet, label)}


def test_without_labels_nothing_is_right_or_wrong(sheet: ModuleType, tmp_path: Path) -> None:
    pictures, said = _folder(tmp_path, {"a-1": "ok"})
    assert not _colours(sheet.draw_sheet(sheet.read_judged(pictures, said, None))) & {sheet.RIGHT, sheet.WRONG}


def test_numbers_count_as_numbers(sheet: ModuleType, tmp_path: Path) -> None:
    pictures, said = _folder(tmp_path, dict.fromkeys(("a-10", "a-9", "b-1", "lone"), "ok"))
    order = [cell.picture.stem for cell in sheet.read_judged(pictures, said, None)]
    assert order.index("a-9") < order.index("a-10") < order.index("b-1")
    assert len(order) == 4


def test_a_marked_picture_is_framed(sheet: ModuleType, tmp_path: Path) -> None:
    judged = sheet.read_judged(*_folder(tmp_path, {"a-1": "ok"}), None)
    assert sheet.MARK in _colours(sheet.draw_sheet(judged, mark="a-1"))
    assert sheet.MARK not in _colours(sheet.draw_sheet(judged, mark="a-2"))


def test_an_empty_folder_is_refused(sheet: ModuleType) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        sheet.draw_sheet([])
