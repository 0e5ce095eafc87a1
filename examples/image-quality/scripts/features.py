"""Puts the three measures of a picture side by side: one row of features.

Reads /pfs/vol, /pfs/sob and /pfs/fft (**/<picture>.json), writes /pfs/out/<same folder>/<picture>.json.
Variances of pictures spread over several powers of ten, so they go in as logarithms; fft is one already.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path


def row(vol: float, sob: float, fft: float) -> dict[str, float]:
    return {"log_vol": math.log1p(vol), "log_sob": math.log1p(sob), "fft": fft}


def main(pfs: Path) -> None:
    for file in sorted((pfs / "vol").rglob("*.json")):
        inside = file.relative_to(pfs / "vol")
        measured = {name: float(json.loads((pfs / name / inside).read_text())[name]) for name in ("vol", "sob", "fft")}
        target = pfs / "out" / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"picture": file.stem, "features": row(**measured)}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/pfs"))
