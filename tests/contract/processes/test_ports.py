"""Ports for parts that listen only later: nobody may be given one meanwhile."""

import socket
from pathlib import Path

import pytest

from deploy.local.layout import CannotRun
from deploy.local.running.ports import claim, free_ports


def test_ports_are_not_those_of_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = free_ports(40)
    assert len(set(found)) == 40
    assert all(1024 <= port < first for port in found)
    assert claim(0) < first


def test_a_port_that_somebody_has_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotRun, match="is in use"):
        claim(taken.getsockname()[1])
