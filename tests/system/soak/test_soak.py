"""Kill -9 at random moments of an import, of finishing a big commit, of deleting commits: nothing acknowledged is lost.

SOAK_KILLS asks for more and SOAK_SEED for others; `make soak` runs it in full.
"""

import os
from pathlib import Path

import pytest

from tests.support.killable import KillablePfs
from tests.system.soak.killing import Soak

KILLS = int(os.environ.get("SOAK_KILLS", "5"))
SEED = int(os.environ.get("SOAK_SEED", "20260101"))


@pytest.mark.timeout(60 + 30 * KILLS)
def test_nothing_acknowledged_is_lost_by_a_kill(killable_pfs: KillablePfs, tmp_path: Path) -> None:
    soak = Soak(killable_pfs, tmp_path, SEED)
    soak.run(KILLS)
    print("killed:", *(f"{kind} {count}" for kind, count in soak.killed.items()))
