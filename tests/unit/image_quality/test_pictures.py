"""The pictures: nothing leaks over the split, names give nothing away, one seed gives one set."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest


def _bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_no_photograph_is_on_both_sides(pictures: Path, make_pictures: ModuleType) -> None:
    sides = [make_pictures.read_labels(pictures / "labels" / f"{side}.csv") for side in ("train", "judge")]
    train, judge = ({row.source for row in rows} for rows in sides)
    assert train
    assert judge
    assert not train & judge
    assert {row.picture.rpartition("-")[0] for row in sides[0]} == train


@pytest.mark.parametrize("seed", range(20))
def test_every_split_has_both_sides(make_pictures: ModuleType, seed: int) -> None:
    sides = list(make_pictures.split(make_pictures.SHARP_SOURCES, seed=seed).values())
    assert abs(sides.count("train") - sides.count("judge")) <= 1


def test_labels_and_pictures_belong_together(pictures: Path, make_pictures: ModuleType) -> None:
    for side in ("train", "judge"):
        rows = make_pictures.read_labels(pictures / "labels" / f"{side}.csv")
        files = {file.stem for file in (pictures / "images" / side).iterdir()}
        assert files == {row.picture for row in rows}
        assert len(rows) == len(files)
        assert {row.label for row in rows} == {"ok", "blurred", "moire"}
        assert not [row for row in rows if row.label in row.picture]


def test_the_same_seed_makes_the_same_files(pictures: Path, make_pictures: ModuleType, tmp_path: Path) -> None:
    make_pictures.write_pictures(tmp_path)
    for folder in ("images", "labels"):
        assert _bytes_below(tmp_path / folder) == _bytes_below(pictures / folder)


def test_crops_do_not_overlap(make_pictures: ModuleType) -> None:
    size = make_pictures.TILE_PX
    numbered = np.arange(2 * size * 2 * size, dtype=np.uint32).reshape(2 * size, 2 * size)
    picture = np.dstack([(numbered >> shift) & 0xFF for shift in (0, 8, 16)]).astype(np.uint8)
    first, second = make_pictures.tiles(picture, least_texture=0.0)
    pixels = [{tuple(pixel) for pixel in tile.reshape(-1, 3).tolist()} for tile in (first, second)]
    assert len(pixels[0]) == size * size
    assert not pixels[0] & pixels[1]


def test_an_even_picture_gives_no_crop(make_pictures: ModuleType) -> None:
    grey = np.full((600, 600, 3), 128, np.uint8)
    assert make_pictures.tiles(grey, least_texture=make_pictures.LEAST_TEXTURE) == []


def test_a_replacement_changes_one_picture_and_its_label(make_pictures: ModuleType, tmp_path: Path) -> None:
    make_pictures.write_labels(tmp_path / "labels" / "judge.csv", [make_pictures.Label("a-1", "ok", "a")])
    sharp = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    make_pictures.write_picture(tmp_path / "images" / "judge" / "a-1.png", sharp)
    assert make_pictures.write_replacement(tmp_path, None).picture == "a-1"
    soft = cv2.imread(str(tmp_path / "replacement" / "images" / "judge" / "a-1.png"))
    assert soft is not None
    assert soft.shape == sharp.shape
    assert soft.std() < sharp.std() / 2
    (after,) = make_pictures.read_labels(tmp_path / "replacement" / "labels" / "judge.csv")
    assert after.label == "blurred"


def test_a_picture_that_is_not_there_cannot_be_replaced(make_pictures: ModuleType, tmp_path: Path) -> None:
    make_pictures.write_labels(tmp_path / "labels" / "judge.csv", [make_pictures.Label("a-1", "blurred", "a")])
    with pytest.raises(SystemExit, match="a-1: no sharp held-out picture"):
        make_pictures.write_replacement(tmp_path, "a-1")
