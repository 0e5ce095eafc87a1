"""What a client asks first, and what it learns when something is off."""

import pytest
from given import refusal
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps
from pachyderm_sdk.errors import AuthServiceNotActivated


def test_version_and_cluster(client: Client) -> None:
    version = client.get_version()
    assert (version.major, version.minor) == (2, 12)
    cluster = client.admin.inspect_cluster()
    assert cluster.id
    assert cluster.warnings == []
    by_url = Client.from_pachd_address(f"grpc://{client.address}")
    assert by_url.admin.inspect_cluster().id == cluster.id


def test_access_control_is_off(client: Client) -> None:
    for call in (
        client.auth.who_am_i,
        client.auth.get_permissions,
        client.auth.list_users if hasattr(client.auth, "list_users") else client.auth.get_configuration,
    ):
        with pytest.raises(AuthServiceNotActivated, match="the auth service is not activated"):
            call()
    with_token = Client(*client.address.split(":"), auth_token="stale")
    assert with_token.admin.inspect_cluster().id
    assert list(with_token.pfs.list_project())


def test_nobody_there(unused_port: int) -> None:
    with pytest.raises(ConnectionError, match="Could not connect to pachyderm instance"):
        Client("127.0.0.1", unused_port).get_version()


def test_the_worker_is_not_here(client: Client) -> None:
    with pytest.raises(ConnectionError, match="PPS_WORKER_GRPC_PORT is not set"):
        _ = client.worker


def test_services_that_are_not_there_say_so(client: Client) -> None:
    for call in (
        client.enterprise.get_state,
        client.license.get_activation_code,
        client.identity.list_idp_connectors,
        lambda: list(client.debug.binary()),
        lambda: list(client.snapshot.list_snapshot()),
    ):
        code, sentence = refusal(call)
        assert code == "UNIMPLEMENTED"
        assert sentence


def test_requests_without_anything(client: Client) -> None:
    for call in (
        client.pfs.inspect_repo,
        client.pfs.create_repo,
        client.pfs.inspect_branch,
        client.pfs.inspect_commit,
        client.pfs.start_commit,
        client.pfs.finish_commit,
        client.pfs.inspect_file,
        client.pps.inspect_pipeline,
        client.pps.create_pipeline,
        client.pps.inspect_job,
        lambda: list(client.pfs.get_file()),
        lambda: list(client.pfs.subscribe_commit()),
        lambda: list(client.pps.list_datum()),
    ):
        code, sentence = refusal(call)
        assert code not in ("INTERNAL", "UNIMPLEMENTED"), sentence
        assert sentence
    assert not client.pfs.repo_exists(pfs.Repo(name="nobodys"))
    assert not client.pps.pipeline_exists(pps.Pipeline(name="nobodys"))
