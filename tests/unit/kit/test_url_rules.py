"""Which addresses callers may name: hosts, what names resolve to, folders."""

from pathlib import Path

import pytest

from services.kit.urls.port import UrlRefused
from services.kit.urls.rules import Rules

OPEN = Rules()


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"],
)
def test_a_machines_own_addresses_are_closed_unless_their_host_is_named(address: str) -> None:
    with pytest.raises(UrlRefused, match="for this machine's own use"):
        OPEN.check_peer("innocent.example.com", address, "http://innocent.example.com/")
    Rules.of("", "meta.internal").check_peer("meta.internal", address, "http://meta.internal/")
    with pytest.raises(UrlRefused):
        Rules.of("", "*.example.com").check_peer("meta.internal", address, "http://meta.internal/")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "93.184.216.34", "::1", "2001:db8::1"])
def test_all_else_is_open_until_the_operator_names_what_is(address: str) -> None:
    OPEN.check_host("anything", "http://anything/")
    OPEN.check_peer("anything", address, "http://anything/")
    OPEN.check_bucket("s3", "s3.amazonaws.com", "bucket", "s3://bucket/")


def test_named_hosts_and_buckets_are_the_only_ones() -> None:
    rules = Rules.of("", " Data.example.com,*.lab.example.com , s3://in-*")
    for host in ("data.example.com", "DATA.example.com", "a.lab.example.com"):
        rules.check_host(host, "http://x/")
    for host in ("example.com", "lab.example.com", "data.example.com.evil.org", "in-x"):
        with pytest.raises(UrlRefused, match="is not among those that the operator allows"):
            rules.check_host(host, "http://x/")
    rules.check_bucket("s3", "s3.amazonaws.com", "in-1", "s3://in-1/")
    for scheme, bucket in (("s3", "out"), ("minio", "in-1")):
        with pytest.raises(UrlRefused):
            rules.check_bucket(scheme, "h", bucket, f"{scheme}://{bucket}/")


def test_folders_hold_whatever_links_and_neighbours_there_are(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in-secret").mkdir()
    (tmp_path / "in/out").symlink_to(tmp_path / "in-secret")
    rules = Rules.of(str(tmp_path / "in"), "")
    assert rules.inside(tmp_path / "in/a/b", "file://") == tmp_path / "in/a/b"
    for bad in ("in-secret/a", "in/out/a", "in/../in-secret", ""):
        with pytest.raises(UrlRefused, match="in no folder"):
            rules.inside(tmp_path / bad, "file://")
    with pytest.raises(UrlRefused):
        OPEN.inside(tmp_path, "file://")
    with pytest.raises(ValueError, match="not absolute"):
        Rules.of("in", "")
