"""Variance of the Sobel gradient of each picture: edges again, but less troubled by single pixels than vol.

Reads /pfs/images/**/*.png, writes /pfs/out/<same folder>/<picture>.json.
Source: the same family of measures as vol; see Pertuz et al., Pattern Recognition 46 (2013), Tenengrad variance.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def sob(grey: NDArray[np.uint8]) -> float:
    """Variance of the gradient's length, in grey levels squared."""
    across = cv2.Sobel(grey, cv2.CV_64F, 1, 0)
    down = cv2.Sobel(grey, cv2.CV_64F, 0, 1)
    return float(np.hypot(across, down).var())


def main(pfs: Path) -> None:
    images = pfs / "images"
    for file in sorted(images.rglob("*.png")):
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            raise SystemExit(f"{file.name} is not a picture that can be read")
        measure = sob(np.asarray(grey, dtype=np.uint8))
        target = (pfs / "out" / file.relative_to(images)).with_suffix(".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"picture": file.stem, "sob": measure}) + "\n")
        print(f"{file.stem}: sob {measure:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/pfs"))
