"""The gateway's template: every method of the protocol goes to the service that owns it; addresses are filled in."""

import importlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.envoy.render import Gateway, render, split_address

JOBS_METHODS = {
    *("InspectJob", "InspectJobSet", "ListJob", "ListJobSet", "SubscribeJob", "StopJob", "DeleteJob", "UpdateJobState"),
    "RunPipeline",
    *("InspectDatum", "ListDatum", "CreateDatum", "RestartDatum", "GetLogs", "QueryLoki", "GetKubeEvents", "ListTask"),
}
OWNERS = {
    "pfs_v2_pb2": "pfs",
    "transaction_v2_pb2": "pfs",
    "metadata_pb2": "pfs",
    "admin_v2_pb2": "pfs",
    "versionpb_v2_pb2": "pfs",
    "auth_v2_pb2": "pfs",
    "storage_pb2": "pfs",
    "content_v1_pb2": "pfs",
    "trees_v1_pb2": "pfs",
    "logs_pb2": "jobs",
    "work_v1_pb2": "jobs",
}
GATEWAY = Gateway(
    listen="127.0.0.1:30650",
    pfs="127.0.0.1:7001",
    pps="127.0.0.1:7002",
    jobs="127.0.0.1:7003",
    web="127.0.0.1:7004",
    descriptors=Path("/data/run/methods.pb"),
    access_log=Path("/data/logs/access.log"),
)


def _manager(config: Any) -> Any:
    listener = config["static_resources"]["listeners"][0]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def _route(path: str) -> str | None:
    """Where a request would go, by Envoy's rule: the first match wins; a regex must fit the whole path."""
    routes = _manager(yaml.safe_load(render(GATEWAY)))["route_config"]["virtual_hosts"][0]["routes"]
    for route in routes:
        match = route["match"]
        fits = (
            path.startswith(match["prefix"])
            if "prefix" in match
            else re.fullmatch(match["safe_regex"]["regex"], path) is not None
        )
        if fits:
            return route["route"]["cluster"] if "route" in route else None
    raise AssertionError(f"no route at all for {path}")


def _methods(module: str) -> list[tuple[str, str]]:
    services = importlib.import_module(f"datamill.wire.{module}").DESCRIPTOR.services_by_name.values()
    return [(service.full_name, method.name) for service in services for method in service.methods]


@pytest.mark.parametrize("module", OWNERS)
def test_each_service_is_reached(module: str) -> None:
    found = {f"/{service}/{method}": _route(f"/{service}/{method}") for service, method in _methods(module)}
    assert found == dict.fromkeys(found, OWNERS[module])
    assert found


def test_pps_v2_is_split_by_method() -> None:
    methods = [method for service, method in _methods("pps_v2_pb2") if service == "pps_v2.API"]
    assert set(methods) > JOBS_METHODS
    found = {method: _route(f"/pps_v2.API/{method}") for method in methods}
    assert found == {method: "jobs" if method in JOBS_METHODS else "pps" for method in methods}


def test_others() -> None:
    assert _route("/opentelemetry.proto.collector.trace.v1.TraceService/Export") == "jobs"
    assert _route("/grpc.health.v1.Health/Check") == "pfs"
    assert _route("/license_v2.API/Activate") is None
    assert _route("/datamill.upkeep.v1.UpkeepService/CollectGarbage") is None, "whoever runs it asks the services"
    assert _route("/datamill.upkeep.v1.JobUpkeepService/CollectJobGarbage") is None
    assert _route("/pps_v2.API/InspectJobX") == "pps"  # unknown there, and answered as such
    assert _route("/elsewhere") is None
    assert _route("/healthzz") is None


@pytest.mark.parametrize(
    "path", ["/", "/pfs", "/pfs/", "/pfs/default/images/master/f", "/archive/x.zip", "/healthz", "/jsonschema/x"]
)
def test_plain_http(path: str) -> None:
    assert _route(path) == "web"


def test_streams_have_no_limit_and_the_service_token_is_taken_off() -> None:
    manager = _manager(yaml.safe_load(render(GATEWAY)))
    config = manager["route_config"]
    routes = [route["route"] for route in config["virtual_hosts"][0]["routes"] if "route" in route]
    assert {route["timeout"] for route in routes} == {"0s"}
    assert manager["stream_idle_timeout"] == "0s"
    assert config["request_headers_to_remove"] == ["datamill-service-token"]


def test_addresses_are_filled_in() -> None:
    config = yaml.safe_load(render(GATEWAY))
    clusters = config["static_resources"]["clusters"]
    found = {
        cluster["name"]: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        for cluster in clusters
    }
    ports = {name: address["socket_address"]["port_value"] for name, address in found.items()}
    assert ports == {"pfs": 7001, "pps": 7002, "jobs": 7003, "web": 7004}
    assert {cluster["type"] for cluster in clusters} == {"STATIC"}
    assert config["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] == 30650


def test_names_are_resolved() -> None:
    text = render(replace(GATEWAY, pfs="pfs:2", pps="pps:3", jobs="jobs:4", web="pfs:5"))
    assert {cluster["type"] for cluster in yaml.safe_load(text)["static_resources"]["clusters"]} == {"STRICT_DNS"}


def test_an_awkward_log_path_stays_one_value() -> None:
    path = Path('/data/it\'s "mine" $x: #1/access.log')
    config = yaml.safe_load(render(replace(GATEWAY, access_log=path)))
    assert _manager(config)["access_log"][0]["typed_config"]["path"] == str(path)


def test_addresses_are_split() -> None:
    assert split_address("pfs.datamill.svc:80") == ("pfs.datamill.svc", 80)
    assert split_address("[::1]:65535") == ("::1", 65535)


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "host:0", "host:65536", "host:8o"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(text)
