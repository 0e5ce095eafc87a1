"""Variance of the Laplacian of each picture: large where there are edges, small where focus was missed.

Reads /pfs/images/**/*.png, writes /pfs/out/<same folder>/<picture>.json.
Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def vol(grey: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian, in grey levels squared."""
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def main(pfs: Path) -> None:
    images = pfs / "images"
    for file in sorted(images.rglob("*.png")):
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            raise SystemExit(f"{file.name} is not a picture that can be read")
        measure = vol(np.asarray(grey, dtype=np.uint8))
        target = (pfs / "out" / file.relative_to(images)).with_suffix(".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"picture": file.stem, "vol": measure}) + "\n")
        print(f"{file.stem}: vol {measure:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/pfs"))
