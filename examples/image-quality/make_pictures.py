"""Makes the pictures and labels of this example from real ones that scikit-image and scikit-learn ship.

Decided here: which sources there are, which crops are taken, which sources train and which are held out, and what a
picture is called. A source is one photograph; all its crops, and all faults made from them, are on the same side of
the split, so that nothing of a held-out photograph is ever trained on.
Elsewhere: how a fault is simulated (degrade.py).

    python3 make_pictures.py FOLDER                     writes FOLDER/images and FOLDER/labels
    python3 make_pictures.py FOLDER --replace [NAME]    writes FOLDER/replacement: one held-out picture, now blurred
"""

from __future__ import annotations

import argparse
import csv
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

import cv2
import numpy as np
from degrade import Picture, blurred, moire, out_of_focus

SEED = 2024
TILE_PX = 256
TILES_PER_SOURCE = 2
LEAST_TEXTURE = 5.0  # mean gradient of a crop, in grey levels per pixel; below it even a sharp crop shows nothing
OK, BLURRED, MOIRE = "ok", "blurred", "moire"
TRAIN, JUDGE = "train", "judge"

# Photographs with fine detail all over. Left out: drawings, scans of text, and what is soft or mostly empty.
SHARP_SOURCES = {
    "astronaut": "skimage/data/astronaut.png",
    "brick": "skimage/data/brick.png",
    "camera": "skimage/data/camera.png",
    "chelsea": "skimage/data/chelsea.png",
    "china": "sklearn/datasets/images/china.jpg",
    "coffee": "skimage/data/coffee.png",
    "coins": "skimage/data/coins.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "grass": "skimage/data/grass.png",
    "gravel": "skimage/data/gravel.png",
    "hubble": "skimage/data/hubble_deep_field.jpg",
    "ihc": "skimage/data/ihc.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
}
# Blurred by its camera, not by us. Always held out: the one fault here that is real.
BLURRED_SOURCES = {"clock": "skimage/data/clock_motion.png"}


@dataclass(frozen=True)
class Label:
    """One row of a label file: what a picture is called, what is true of it, and which photograph it was made from."""

    picture: str
    label: str
    source: str


def read_source(path: str) -> Picture:
    """The picture at a path inside an installed package, BGR. Raises FileNotFoundError when it is no picture."""
    package, _, inside = path.partition("/")
    with as_file(files(package).joinpath(inside)) as file:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f"no picture at {path}")
    return np.asarray(picture, dtype=np.uint8)


def texture(picture: Picture) -> float:
    """Mean length of the gradient, grey levels per pixel."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float64)
    rows, columns = np.gradient(grey)
    return float(np.hypot(rows, columns).mean())


def tiles(picture: Picture, *, least_texture: float) -> list[Picture]:
    """Square crops that do not overlap, centred as a block; the most textured ones, best first."""
    height, width = picture.shape[:2]
    rows, columns = height // TILE_PX, width // TILE_PX
    top, left = (height - rows * TILE_PX) // 2, (width - columns * TILE_PX) // 2
    corners = [(top + r * TILE_PX, left + c * TILE_PX) for r in range(rows) for c in range(columns)]
    crops = [picture[y : y + TILE_PX, x : x + TILE_PX] for y, x in corners]
    good = [crop for crop in crops if texture(crop) >= least_texture]
    return sorted(good, key=texture, reverse=True)[:TILES_PER_SOURCE]


def split(sources: Iterable[str], *, seed: int = SEED) -> dict[str, str]:
    """Which side each source is on: a random half trains (of an odd number the larger half), the rest is held out."""
    names = sorted(sources)
    training = set(np.random.default_rng(seed).permutation(names)[: (len(names) + 1) // 2].tolist())
    return {name: TRAIN if name in training else JUDGE for name in names}


def versions(source: str, path: str, *, seed: int = SEED) -> Iterator[tuple[Label, Picture]]:
    """Every crop of a sharp source as it is, blurred and with moiré; names do not give the label away."""
    rng = np.random.default_rng([seed, zlib.crc32(source.encode())])
    made: list[tuple[str, Picture]] = []
    for tile in tiles(read_source(path), least_texture=LEAST_TEXTURE):
        made += [(OK, tile), (BLURRED, blurred(tile, rng)), (MOIRE, moire(tile, rng))]
    for number, index in enumerate(rng.permutation(len(made)), start=1):
        label, picture = made[index]
        yield Label(f"{source}-{number}", label, source), picture


def write_pictures(folder: Path, *, seed: int = SEED) -> dict[str, list[Label]]:
    """Write images/train, images/judge and their label files into a folder; returns the labels of each side."""
    labels: dict[str, list[Label]] = {TRAIN: [], JUDGE: []}
    sides = split(SHARP_SOURCES, seed=seed)
    for source, path in SHARP_SOURCES.items():
        for label, picture in versions(source, path, seed=seed):
            write_picture(folder / "images" / sides[source] / f"{label.picture}.png", picture)
            labels[sides[source]].append(label)
    for source, path in BLURRED_SOURCES.items():
        for number, picture in enumerate(tiles(read_source(path), least_texture=0.0), start=1):
            write_picture(folder / "images" / JUDGE / f"{source}-{number}.png", picture)
            labels[JUDGE].append(Label(f"{source}-{number}", BLURRED, source))
    for side, rows in labels.items():
        write_labels(folder / "labels" / f"{side}.csv", rows)
    return labels


def write_replacement(folder: Path, name: str | None, *, seed: int = SEED) -> Label:
    """Blur one sharp held-out picture (the first one, if none is named); returns its new label."""
    rows = read_labels(folder / "labels" / f"{JUDGE}.csv")
    sharp = [row for row in rows if row.label == OK and name in (None, row.picture)]
    if not sharp:
        raise SystemExit(f"{name}: no sharp held-out picture of that name in {folder}")
    changed = replace(sharp[0], label=BLURRED)
    file = f"{changed.picture}.png"
    picture = cv2.imread(str(folder / "images" / JUDGE / file), cv2.IMREAD_COLOR)
    soft = out_of_focus(np.asarray(picture, dtype=np.uint8), np.random.default_rng(seed))
    write_picture(folder / "replacement" / "images" / JUDGE / file, soft)
    after = [changed if row.picture == changed.picture else row for row in rows]
    write_labels(folder / "replacement" / "labels" / f"{JUDGE}.csv", after)
    return changed


def write_picture(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"could not write {path}")


def write_labels(path: Path, rows: list[Label]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["picture", "label", "source"])
        table.writerows([row.picture, row.label, row.source] for row in rows)


def read_labels(path: Path) -> list[Label]:
    with path.open(newline="") as file:
        return [Label(row["picture"], row["label"], row["source"]) for row in csv.DictReader(file)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pictures of the image-quality example.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--replace", metavar="NAME", nargs="?", const="", help="blur one sharp held-out picture")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed: another split, other faults")
    asked = parser.parse_args()
    if asked.replace is not None:
        changed = write_replacement(asked.folder, asked.replace or None, seed=asked.seed)
        print(f"replacement: {changed.picture}, {changed.label}")
        return
    for side, rows in write_pictures(asked.folder, seed=asked.seed).items():
        sources = sorted({row.source for row in rows})
        print(f"{side}: {len(rows)} pictures from {len(sources)} photographs ({', '.join(sources)})")


if __name__ == "__main__":
    main()
