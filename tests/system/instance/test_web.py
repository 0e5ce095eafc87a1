"""Files and JSON at the address of an instance: what the gateway passes on, and what it keeps back."""

import base64
import http.client
import io
import json
import os
import zipfile
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from services.pfs.web.archive.spec import address
from tests.support.servers import eventually
from tests.system.instance.test_up import Instance

PAGE, OTHER = "https://app.example.org", "https://elsewhere.example.org"
BIG = os.urandom(3 << 20)
FILES = {"/one.txt": b"hello world\n", "/a b;c%.bin": b"odd", "/big": BIG}
Answer = tuple[int, http.client.HTTPMessage, bytes]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """With a repo "images" and a few files."""
    found = Instance(tmp_path_factory.mktemp("web") / "data")
    done = found.do("up", "--port", "0", "--detach", "--allow-origin", PAGE)
    assert (done.returncode, done.stderr) == (0, "")
    found.create_repo("images")
    repo = pfs.Repo(name="images", type="user", project=pfs.Project(name="default"))
    head = pfs.Commit(branch=pfs.Branch(repo=repo, name="master"), repo=repo)

    def changes() -> Iterator[pfs.ModifyFileRequest]:
        yield pfs.ModifyFileRequest(set_commit=head)
        for path, data in FILES.items():
            yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=BytesValue(value=data)))

    with grpc.insecure_channel(found.target) as channel:
        api = pfs_grpc.APIStub(channel)
        api.ModifyFile(changes(), timeout=60)
        api.InspectCommit(pfs.InspectCommitRequest(commit=head, wait=pfs.CommitState.FINISHED), timeout=60)
    yield found
    found.do("down")


def ask(instance: Instance, path: str, method: str = "GET", body: bytes = b"", /, **headers: str) -> Answer:
    connection = http.client.HTTPConnection(instance.target, timeout=60)
    try:
        connection.request(method, path, body or None, {name.replace("_", "-"): text for name, text in headers.items()})
        found = connection.getresponse()
        return found.status, found.headers, found.read()
    finally:
        connection.close()


def call(instance: Instance, method: str, request: dict[str, Any] | None = None, **headers: str) -> Answer:
    body = b"" if request is None else json.dumps(request).encode()
    return ask(instance, f"/api/{method}", "POST", body, Content_Type="application/json", **headers)


def test_files_at_the_address_of_the_instance(instance: Instance) -> None:
    assert ask(instance, "/healthz")[::2] == (200, b"healthy\n")
    assert ask(instance, "/")[1]["Location"] == "/pfs/"
    status, headers, body = ask(instance, "/jsonschema/pps_v2/CreatePipelineRequest.schema.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert "pipeline" in json.loads(body)["definitions"]["pps_v2.CreatePipelineRequest"]["properties"]
    assert ask(instance, "/jsonschema/pps_v2/Nope.schema.json")[0] == 404
    assert ask(instance, "/pfs/default/images/master/one.txt")[::2] == (200, b"hello world\n")
    assert ask(instance, "/pfs/default/images/master/a%20b;c%25.bin")[2] == b"odd"
    assert ask(instance, "/pfs/default/images/master/big")[2] == BIG
    status, headers, body = ask(instance, "/pfs/default/images/master/big", Range="bytes=1000000-2000000")
    assert (status, body) == (206, BIG[1_000_000:2_000_001])
    assert ask(instance, "/pfs/default/images/master/big", If_None_Match=headers["ETag"])[0] == 304
    assert ask(instance, "/pfs/default/images/master/big", "HEAD")[1]["Content-Length"] == str(len(BIG))
    assert ask(instance, "/pfs/default/images/master.1/one.txt")[0] == 200
    assert ask(instance, "/pfs/default/images/master^/one.txt")[0] == 400
    status, _, body = ask(instance, "/pfs/default/images/master/../../one.txt")
    assert (status, b"not found" in body) == (404, True)
    status, _, body = ask(instance, address([("default", "images", "master", "/")]))
    with zipfile.ZipFile(io.BytesIO(body)) as found:
        assert {name: found.read(name) for name in found.namelist()} == {
            f"default/images/master{path}": data for path, data in FILES.items()
        }


def test_json(instance: Instance) -> None:
    status, _, body = call(instance, "pfs_v2.API/InspectRepo", {"repo": {"name": "images", "type": "user"}})
    found = json.loads(body)
    assert (status, found["repo"]["name"], found["repo"]["project"]["name"]) == (200, "images", "default")
    assert int(found["details"]["size_bytes"]) == sum(map(len, FILES.values()))
    status, _, body = call(instance, "versionpb_v2.API/GetVersion")
    assert (status, json.loads(body)["major"]) == (200, 2)
    head = {"repo": {"name": "images", "type": "user"}, "branch": {"name": "master"}}
    status, _, body = call(instance, "pfs_v2.API/ListFile", {"file": {"commit": head, "path": "/"}})
    assert [json.loads(line)["file"]["path"] for line in body.splitlines()] == sorted(FILES)
    status, _, body = call(instance, "pfs_v2.API/GetFile", {"file": {"commit": head, "path": "/big"}})
    assert b"".join(base64.b64decode(json.loads(line)) for line in body.splitlines()) == BIG
    assert call(instance, "pps_v2.API/ListPipeline", {})[::2] == (200, b"")
    assert call(instance, "pps_v2.API/ListJob", {})[::2] == (200, b"")


def test_json_that_changes_things(instance: Instance) -> None:
    repo = {"name": "json", "type": "user"}
    started = json.loads(call(instance, "transaction_v2.API/StartTransaction", {})[2])
    staged = call(instance, "pfs_v2.API/CreateRepo", {"repo": repo}, pach_transaction=started["id"])
    assert (staged[0], "json" in instance.repos()) == (200, False)
    assert call(instance, "transaction_v2.API/FinishTransaction", {"transaction": started})[0] == 200
    assert "json" in instance.repos()
    changes: list[dict[str, Any]] = [
        {"set_commit": {"repo": repo, "branch": {"name": "master", "repo": repo}}},
        {"add_file": {"path": "/f", "raw": base64.b64encode(b"some ").decode()}},
        {"addFile": {"path": "/f", "raw": base64.b64encode(b"words").decode()}},
    ]
    assert ask(instance, "/api/pfs_v2.API/ModifyFile", "POST", json.dumps(changes).encode())[0] == 200
    assert ask(instance, "/pfs/default/json/master/f")[2] == b"some words"


def test_what_json_is_told_of_mistakes(instance: Instance) -> None:
    status, _, body = call(instance, "pfs_v2.API/InspectRepo", {"repo": {"name": "nope", "type": "user"}})
    found = json.loads(body)
    assert (status, found["code"], found["message"]) == (404, 5, "repo default/nope not found")
    assert call(instance, "pfs_v2.API/InspectRepo", {"repo": [1]})[0] == 400
    assert ask(instance, "/api/pfs_v2.API/InspectRepo", "POST", b"{")[0] == 400
    assert call(instance, "pfs_v2.API/NoSuchMethod", {})[0] == 404
    assert call(instance, "datamill.upkeep.v1.UpkeepService/CollectGarbage", {})[0] == 404
    assert ask(instance, "/api/pfs_v2.API/ListRepo")[0] == 404
    assert call(instance, "auth_v2.API/WhoAmI", {})[0] == 501


def test_pages_of_other_sites(instance: Instance) -> None:
    path = "/pfs/default/images/master/one.txt"
    assert ask(instance, path, Origin=OTHER)[0] == 403
    assert ask(instance, path, Sec_Fetch_Site="cross-site")[0] == 403
    status, headers, _ = ask(instance, path, Origin=PAGE, Sec_Fetch_Site="cross-site")
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert "etag" in headers["Access-Control-Expose-Headers"]
    assert ask(instance, path, Origin=f"http://{instance.target}")[0] == 200
    assert call(instance, "pfs_v2.API/ListRepo", {}, Origin=OTHER)[0] == 403
    assert call(instance, "pfs_v2.API/ListRepo", {}, Origin="null")[0] == 403
    assert call(instance, "pfs_v2.API/ListRepo", {}, Origin=PAGE)[0] == 200
    asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "if-none-match"}
    assert ask(instance, path, "OPTIONS", Origin=PAGE, **asked)[1]["Access-Control-Allow-Origin"] == PAGE
    assert ask(instance, path, "OPTIONS", Origin=OTHER, **asked)[0] == 405


def test_tokens_are_in_no_log(instance: Instance) -> None:
    assert ask(instance, "/pfs/default/images/master/one.txt?authn-token=hush-hush")[0] == 200
    assert ask(instance, "/pfs/default/images/master/one.txt", authn_token="hush-hush")[0] == 200
    assert ask(instance, "/pfs/default/images/master/nope?authn-token=hush-hush")[0] == 404
    assert ask(instance, "/api/versionpb_v2.API/GetVersion?authn-token=hush-hush", "POST", b"{}")[0] == 200
    logs = instance.data_dir / "logs"
    access = logs / "access.log"
    eventually(lambda: '"/pfs/default/images/master/nope"' in access.read_text(), "the gateway has written its log")
    eventually(lambda: "GetVersion" in access.read_text(), "the gateway has written its log")
    assert not [log.name for log in logs.iterdir() if "hush-hush" in log.read_text(errors="replace")]


def test_the_service_token_is_of_no_use_from_outside(instance: Instance) -> None:
    token = (instance.data_dir / "token").read_text().strip()
    call(instance, "pfs_v2.API/CreateRepo", {"repo": {"name": "mine", "type": "user"}})
    call(instance, "pfs_v2.API/CreateRepo", {"repo": {"name": "mine", "type": "spec"}})
    status, _, body = call(
        instance, "pfs_v2.API/DeleteRepo", {"repo": {"name": "mine", "type": "user"}}, datamill_service_token=token
    )
    assert (status, "delete the pipeline instead" in json.loads(body)["message"]) == (500, True)


def test_a_long_address(instance: Instance) -> None:
    entries = [("default", "images", "master", f"/{os.urandom(24).hex()}") for _ in range(1000)]
    path = address(entries)
    assert len(path) > 30_000
    status, _, body = ask(instance, path)
    with zipfile.ZipFile(io.BytesIO(body)) as found:
        assert (status, found.namelist()) == (200, ["@error.txt"])
