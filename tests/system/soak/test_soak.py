"""Kill -9 at random moments of an import, of finishing a big commit, of deleting commits, of a collection of garbage
and its rewriting of packs: nothing acknowledged is lost, nothing refers to what is not there, nothing is stuck.

SOAK_KILLS asks for more and SOAK_SEED for others; `make soak` runs it in full.
"""

import os
from pathlib import Path

import pytest

from tests.support.killable import KillablePfs
from tests.system.soak.killing import Soak

KILLS = int(os.environ.get("SOAK_KILLS", "5"))
SEED = int(os.environ.get("SOAK_SEED", "20260101"))
IN_FULL = 100  # so many kills that every phase of every scene is hit


@pytest.mark.timeout(240 + 60 * KILLS)
def test_nothing_acknowledged_is_lost_by_a_kill(killable_pfs: KillablePfs, tmp_path: Path) -> None:
    soak = Soak(killable_pfs, tmp_path, SEED)
    soak.run(KILLS)
    print("killed:", *(f"{scene}/{phase} {count}" for (scene, phase), count in sorted(soak.killed.items())))
    print(f"packs rewritten: {soak.rewritten}, deleted: {soak.deleted}")
    assert soak.rewritten
    assert soak.deleted
    assert KILLS < IN_FULL or not soak.missed(), soak.missed()
