"""The demo's own pipelines, once in peace and once while everything is killed: the same hashes, each datum once."""

from pathlib import Path

import pytest

from tests.support.servers import free_port
from tests.system.chaos import story
from tests.system.chaos.kills import KILLS, KINDS, killing, up
from tests.system.chaos.patient import Patient


@pytest.mark.long
def test_the_demo_ends_the_same_whatever_is_killed(tmp_path: Path) -> None:
    story.make_pictures(tmp_path / "pictures")
    port = free_port()
    with up(tmp_path / "peace", port), Patient(f"grpc://localhost:{port}") as client:
        peace = story.tell(client, tmp_path / "pictures")
    with up(tmp_path / "war", port), Patient(f"grpc://localhost:{port}") as client:
        with killing(tmp_path / "war") as killed:
            outcome = story.tell(client, tmp_path / "pictures")
        assert outcome == peace
    assert set(killed) == KINDS or len(KINDS) > KILLS, f"never killed: {KINDS - set(killed)}"
