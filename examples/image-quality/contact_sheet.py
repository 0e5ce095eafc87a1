"""Draws judged pictures as one PNG: a grid with each picture's verdict, green when right and red when wrong.

    python3 contact_sheet.py PICTURES VERDICTS SHEET.png [--labels judge.csv] [--mark PICTURE]

PICTURES holds <picture>.png, VERDICTS <picture>.json as the classify pipeline writes them. Without labels nothing is
said about right and wrong. A picture without a verdict is drawn as such: the sheet shows what is there.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

THUMB_PX, GAP_PX, CAPTION_PX, HEADER_PX, MARGIN_PX = 208, 14, 50, 92, 28
PAPER, CARD, INK, FAINT = "#f4f5f7", "#ffffff", "#1c2430", "#79828f"
RIGHT, WRONG, NEUTRAL, MARK = "#1a8f4c", "#d1373f", "#5b6675", "#2f6fed"


@dataclass(frozen=True)
class Judged:
    """One cell of the sheet. truth: None when the picture has no label; verdict: None when it was not judged."""

    picture: Path
    verdict: str | None
    probability: float
    truth: str | None

    @property
    def right(self) -> bool | None:
        return None if None in (self.verdict, self.truth) else self.verdict == self.truth


def read_judged(pictures: Path, verdicts: Path, labels: Path | None) -> list[Judged]:
    """Every picture of a folder with its verdict and label, ordered by source and number."""
    rows = csv.DictReader(labels.read_text().splitlines()) if labels else []
    truth = {row["picture"]: row["label"] for row in rows}
    found = []
    for picture in sorted(pictures.glob("*.png"), key=_by_source_and_number):
        file = verdicts / f"{picture.stem}.json"
        said = json.loads(file.read_text()) if file.exists() else {"verdict": None, "probabilities": {}}
        likely = float(said["probabilities"].get(said["verdict"], 0.0))
        found.append(Judged(picture, said["verdict"], likely, truth.get(picture.stem)))
    return found


def _by_source_and_number(picture: Path) -> tuple[str, int, str]:
    source, _, number = picture.stem.rpartition("-")
    return source, int(number) if number.isdigit() else 0, picture.stem


def draw_sheet(judged: list[Judged], *, mark: str | None = None) -> Image.Image:
    """The whole sheet, wider than high. Raises ValueError when there is nothing to draw."""
    if not judged:
        raise ValueError("no pictures to draw")
    columns = math.ceil(math.sqrt(len(judged) * 1.6))
    rows = math.ceil(len(judged) / columns)
    pitch_x, pitch_y = THUMB_PX + GAP_PX, THUMB_PX + CAPTION_PX + GAP_PX
    width = max(2 * MARGIN_PX + columns * pitch_x - GAP_PX, 640)
    sheet = Image.new("RGB", (width, HEADER_PX + rows * pitch_y - GAP_PX + MARGIN_PX), PAPER)
    _draw_header(ImageDraw.Draw(sheet), judged)
    for index, cell in enumerate(judged):
        corner = (MARGIN_PX + index % columns * pitch_x, HEADER_PX + index // columns * pitch_y)
        _draw_cell(sheet, corner, cell, marked=cell.picture.stem == mark)
    return sheet


def _draw_header(draw: ImageDraw.ImageDraw, judged: list[Judged]) -> None:
    known = [cell.right for cell in judged if cell.right is not None]
    said = f"{len(judged)} pictures"
    if known:
        said += f"   ·   {sum(known)} of {len(known)} right ({sum(known) / len(known):.0%})"
    draw.text((MARGIN_PX, 22), "Image quality", font=_font(28), fill=INK)
    draw.text((MARGIN_PX, 58), said.replace(" ", "  "), font=_font(16), fill=FAINT)  # its space beside digits is a hair


def _draw_cell(sheet: Image.Image, corner: tuple[int, int], cell: Judged, *, marked: bool) -> None:
    draw, (x, y) = ImageDraw.Draw(sheet), corner
    colour = {True: RIGHT, False: WRONG, None: NEUTRAL}[cell.right]
    card = (x, y, x + THUMB_PX, y + THUMB_PX + CAPTION_PX)
    draw.rounded_rectangle(card, radius=7, fill=CARD)
    with Image.open(cell.picture) as picture:
        thumb = picture.convert("RGB").resize((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS)
    sheet.paste(thumb, corner, _rounded_top())
    draw.rectangle((x, y + THUMB_PX, x + THUMB_PX, y + THUMB_PX + 4), fill=colour)
    verdict = cell.verdict or "not judged"
    draw.text((x + 10, y + THUMB_PX + 11), verdict, font=_font(17), fill=colour)
    if cell.verdict:
        said = f"{cell.probability:.0%}"
        right_edge = x + THUMB_PX - 10
        draw.text((right_edge, y + THUMB_PX + 13), said, font=_font(14), fill=FAINT, anchor="ra")
    below = cell.picture.stem + (f"   is {cell.truth}" if cell.right is False else "")
    draw.text((x + 10, y + THUMB_PX + 32), below, font=_font(12), fill=FAINT)
    if marked:
        draw.rounded_rectangle((x - 5, y - 5, card[2] + 5, card[3] + 5), radius=11, outline=MARK, width=4)


def _rounded_top() -> Image.Image:
    mask = Image.new("L", (THUMB_PX, THUMB_PX), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, THUMB_PX - 1, THUMB_PX + 10), radius=7, fill=255)
    return mask


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw judged pictures as one PNG.")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("verdicts", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--labels", type=Path, help="picture,label rows: colours the verdicts right or wrong")
    parser.add_argument("--mark", metavar="PICTURE", help="draw a frame around one picture")
    asked = parser.parse_args()
    judged = read_judged(asked.pictures, asked.verdicts, asked.labels)
    if not judged:
        raise SystemExit(f"no pictures in {asked.pictures}")
    draw_sheet(judged, mark=asked.mark).save(asked.sheet)
    print(f"{asked.sheet}: {len(judged)} pictures")


if __name__ == "__main__":
    main()
