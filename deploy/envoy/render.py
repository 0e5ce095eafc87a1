"""Fills in the gateway's one configuration template, for a laptop and for a cluster alike.

Which method goes to which service is decided in envoy.yaml; here are only addresses and the access log.
"""

import ipaddress
import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.envoy.descriptors import services

TEMPLATE = Path(__file__).with_name("envoy.yaml")


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Where the gateway listens and what is behind it; addresses are "host:port"."""

    listen: str
    pfs: str
    pps: str
    jobs: str
    web: str
    """Where PFS offers files over plain HTTP."""
    descriptors: Path
    """A file with what `descriptors.descriptors()` gives."""
    access_log: Path
    beyond: str = ""
    """Another address to listen at, on the same port; one that stands for all takes the place of `listen`."""
    origins: tuple[str, ...] = ()
    """Of the web pages that browsers may let call it."""
    admin: str = ""
    """The path of a socket for the admin interface, short enough for one; "" for none."""


def render(gateway: Gateway) -> str:
    """The text of Envoy's bootstrap configuration. Raises ValueError for an address that is not "host:port"."""
    paths = {"access_log": gateway.access_log, "descriptors": gateway.descriptors}
    values = {name: json.dumps(str(path))[1:-1] for name, path in paths.items()}
    hosts = []
    for name in ("listen", "pfs", "pps", "jobs", "web"):
        host, port = split_address(getattr(gateway, name))
        values |= {f"{name}_host": host, f"{name}_port": str(port)}
        hosts.append(host)
    values |= _listening(values["listen_host"], gateway)
    values["cors"] = json.dumps(_cors(gateway.origins))
    values["foreign"] = json.dumps(_foreign(gateway.origins))
    values["services"] = json.dumps(services())
    values["admin"] = json.dumps(_admin(gateway.admin))
    values["resolve"] = "STATIC" if all(map(_is_numeric, hosts[1:])) else "STRICT_DNS"
    return string.Template(TEMPLATE.read_text()).substitute(values)


def _listening(host: str, gateway: Gateway) -> dict[str, str]:
    """One address is Envoy's own, the others additional; a wildcard has the loopback in it already."""
    port = split_address(gateway.listen)[1]
    beyond = ipaddress.ip_address(gateway.beyond) if gateway.beyond else None
    if beyond is not None and beyond.is_unspecified:
        return {"listen": json.dumps(_socket(str(beyond), port)), "additional": "[]"}
    more = [{"address": _socket(str(beyond), port)}] if beyond is not None and str(beyond) != host else []
    return {"listen": json.dumps(_socket(host, port)), "additional": json.dumps(more)}


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port, "ipv4_compat": host == "::"}}


def _cors(origins: tuple[str, ...]) -> dict[str, Any]:
    """What a browser lets pages of these origins do: gRPC-web calls, reading how they ended, and reading files."""
    if not origins:
        return {}
    return {
        "envoy.filters.http.cors": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
            "allow_origin_string_match": [{"exact": origin} for origin in origins],
            "allow_methods": "GET, HEAD, POST, OPTIONS",
            "allow_headers": "content-type,x-grpc-web,x-user-agent,grpc-timeout,authn-token,traceparent,"
            "range,if-range,if-match,if-none-match,if-modified-since,if-unmodified-since",
            "expose_headers": "grpc-status,grpc-message,grpc-status-details-bin,"
            "etag,accept-ranges,content-range,content-disposition",
            "max_age": "600",
        }
    }


def _foreign(origins: tuple[str, ...]) -> list[dict[str, Any]]:
    """What the headers of a web page's request are like when it comes from none of these origins."""
    others = [{"name": "origin", "string_match": {"exact": origin}, "invert_match": True} for origin in origins]
    return [{"name": "origin", "present_match": True}, *others]


def _admin(path: str) -> dict[str, Any]:
    return {"address": {"pipe": {"path": path, "mode": 0o600}}} if path else {}


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
