"""How often something is tried again."""

import threading

from services.worker.peers.calls import Patience


def test_the_last_of_the_time_is_no_storm_of_tries() -> None:
    patience, tries = Patience(0.2, threading.Event()), 0
    while patience.wait():
        tries += 1
    assert 1 < tries < 12
