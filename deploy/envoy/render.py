"""Fills in the gateway's one configuration template, for a laptop and for a cluster alike.

Which method goes to which service is decided in envoy.yaml; here are only addresses and the access log.
"""

import ipaddress
import json
import string
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).with_name("envoy.yaml")


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Where the gateway listens and what is behind it; addresses are "host:port"."""

    listen: str
    pfs: str
    pps: str
    jobs: str
    access_log: Path


def render(gateway: Gateway) -> str:
    """The text of Envoy's bootstrap configuration. Raises ValueError for an address that is not "host:port"."""
    values: dict[str, str] = {"access_log": json.dumps(str(gateway.access_log))[1:-1]}
    hosts = []
    for name in ("listen", "pfs", "pps", "jobs"):
        host, port = split_address(getattr(gateway, name))
        values |= {f"{name}_host": host, f"{name}_port": str(port)}
        hosts.append(host)
    values["resolve"] = "STATIC" if all(map(_is_numeric, hosts[1:])) else "STRICT_DNS"
    return string.Template(TEMPLATE.read_text()).substitute(values)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port". Raises ValueError."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
