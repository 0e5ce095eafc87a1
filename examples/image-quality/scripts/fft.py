"""Mean of the high spatial frequencies of each picture: blur empties them, the stripes of a screen fill them.

Reads /pfs/images/**/*.png, writes /pfs/out/<same folder>/<picture>.json.
Source: the discrete Fourier transform of the picture under a Hann window, so that its borders make no edges.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HIGH = 0.25  # cycles per pixel: half of the finest detail that a picture can hold
FLOOR = 1e-6  # keeps the logarithm of an even picture finite


def fft(grey: NDArray[np.uint8]) -> float:
    """Mean logarithm of the spectrum's magnitude above HIGH."""
    height, width = grey.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    spectrum = np.abs(np.fft.fft2((grey - grey.mean()) * window))
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.fftfreq(width))
    return float(np.log(spectrum[frequency > HIGH] + FLOOR).mean())


def main(pfs: Path) -> None:
    images = pfs / "images"
    for file in sorted(images.rglob("*.png")):
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if grey is None:
            raise SystemExit(f"{file.name} is not a picture that can be read")
        measure = fft(np.asarray(grey, dtype=np.uint8))
        target = (pfs / "out" / file.relative_to(images)).with_suffix(".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"picture": file.stem, "fft": measure}) + "\n")
        print(f"{file.stem}: fft {measure:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/pfs"))
