"""Secrets on real processes: user code has them, and nobody else ever reads one; lost ones are said."""

import base64
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import pps_v2_pb2_grpc as pps_grpc
from datamill.wire import secrets_v1_pb2 as wire
from datamill.wire.secrets_v1_pb2_grpc import SecretServiceStub
from services.kit.rpc.server import SERVICE_TOKEN_HEADER
from tests.support.patience import eventually
from tests.support.servers import SERVING, Spine, channel, free_port, running, service_command, settings, unique
from tests.system.chaos.dag import leaf, named, pipeline
from tests.system.pfs.driver import Repo, put, refused

VALUE, OTHER = "correct horse battery staple", "a wholly different value"
LINES = "-----BEGIN KEY-----\nabcdefghijkl\n-----END KEY-----\n"


@dataclass(frozen=True)
class Stubs:
    """What the tests talk to."""

    pps: Any
    jobs: Any
    source: Repo
    spine: Spine


@pytest.fixture
def stubs(spine: Spine) -> Iterator[Stubs]:
    with ExitStack() as stack:
        to_pfs, to_pps, to_jobs = (
            stack.enter_context(channel(address)) for address in (spine.pfs, spine.pps, spine.jobs)
        )
        yield Stubs(pps_grpc.APIStub(to_pps), pps_grpc.APIStub(to_jobs), Repo(to_pfs), spine)


def document(name: str, **values: str) -> bytes:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return json.dumps({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}, "data": data}).encode()


def create(stub: Any, name: str, **values: str) -> None:
    stub.CreateSecret(pps.CreateSecretRequest(file=document(name, **values)))


def listed(stub: Any) -> set[str]:
    return {one.secret.name for one in stub.ListSecret(Empty()).secret_info}


def asking(stubs: Stubs, script: str, *mounts: pps.SecretMount) -> str:
    """A pipeline with secrets over one file; its name."""
    name = unique("p")
    request = pipeline(name, script, leaf(stubs.source.name, "/*", name="data"))
    request.transform.secrets.extend(mounts)
    stubs.pps.CreatePipeline(request)
    return name


def job_of(stubs: Stubs, name: str, id: str = "") -> pps.JobInfo:
    """A job of the pipeline, ended: the one of a commit, or the only one."""
    job = pps.Job(pipeline=named(name), id=id)
    if not id:
        (info,) = eventually(lambda: list(stubs.jobs.ListJob(pps.ListJobRequest(pipeline=named(name)))))
        job = info.job
    asked = pps.InspectJobRequest(job=job, wait=True)
    ended: pps.JobInfo = stubs.jobs.InspectJob(asked, timeout=120)
    return ended


def content(stubs: Stubs, repo: pfs.Repo, path: str) -> bytes:
    commit = pfs.Commit(repo=repo, branch=pfs.Branch(repo=repo, name="master"))
    asked = pfs.GetFileRequest(file=pfs.File(commit=commit, path=path))
    return b"".join(part.value for part in stubs.source.api.GetFile(asked))


def output(name: str, kind: str = "user") -> pfs.Repo:
    return pfs.Repo(name=name, type=kind, project=pfs.Project(name="default"))


def test_user_code_has_secrets_and_nothing_else_shows_them(stubs: Stubs) -> None:
    secret = unique("db")
    create(stubs.pps, secret, password=VALUE, key=LINES)
    stubs.source.modify(put("/a", b"x"))
    folder = f"/etc/{unique('nowhere')}/deep"
    script = (
        f"printf %s \"$PASSWORD\" | rev > /pfs/out/variable; rev {folder}/password > /pfs/out/file;"
        f"stat -c %a {folder}/key > /pfs/out/mode; cat {folder}/key /etc/hostname > /dev/null || exit 9;"
        f"echo \"it is $PASSWORD!\"; cat {folder}/key; cat /pfs/.env >&2"
    )  # fmt: skip
    name = asking(
        stubs, script,
        pps.SecretMount(name=secret, key="password", env_var="PASSWORD"),
        pps.SecretMount(name=secret, mount_path=folder),
    )  # fmt: skip
    assert job_of(stubs, name).state == pps.JOB_SUCCESS
    backwards = VALUE[::-1].encode()
    assert content(stubs, output(name), "/variable") == content(stubs, output(name), "/file") == backwards
    assert content(stubs, output(name), "/mode") == b"400\n"
    assert not Path(folder).parent.exists(), "the machine itself is left as it was"
    lines = [line.message for line in stubs.jobs.GetLogs(pps.GetLogsRequest(pipeline=named(name)))]
    assert {"it is ***!", "***"} <= set(lines)
    said = "\n".join(lines)
    meta = pfs.Commit(repo=output(name, "meta"), branch=pfs.Branch(repo=output(name, "meta"), name="master"))
    paths = [
        one.file.path for one in stubs.source.api.GlobFile(pfs.GlobFileRequest(commit=meta, pattern="/pfs/*/.env"))
    ]
    assert len(paths) == 1
    said += content(stubs, output(name, "meta"), paths[0]).decode()
    info = stubs.pps.InspectPipeline(pps.InspectPipelineRequest(pipeline=named(name), details=True))
    said += str(info) + "".join(process.log for process in stubs.spine.processes.values())
    said += "".join(path.read_text(errors="replace") for path in stubs.spine.root.glob("pps/runtime/logs/*"))
    for value in (VALUE, "abcdefghijkl"):
        assert value not in said
        assert not any(value.encode() in path.read_bytes() for path in (stubs.spine.root / "pps").glob("pps.db*"))
    stubs.pps.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name)))


def test_secrets_are_listed_inspected_deleted_and_refused(stubs: Stubs) -> None:
    name, before = unique("db"), listed(stubs.pps)
    create(stubs.pps, name, password=VALUE)
    assert listed(stubs.pps) == before | {name}
    info = stubs.pps.InspectSecret(pps.InspectSecretRequest(secret=pps.Secret(name=name)))
    assert (info.secret.name, info.type) == (name, "Opaque")
    assert abs(info.creation_timestamp.seconds - time.time()) < 600
    with refused(grpc.StatusCode.ALREADY_EXISTS, f'failed to create secret: secrets "{name}" already exists'):
        create(stubs.pps, name, password=OTHER)
    request = wire.FetchSecretsRequest(pipeline=named("nobody"), pipeline_version=1)
    with channel(stubs.spine.pps) as open_channel:
        fetch = SecretServiceStub(open_channel).FetchSecrets
        with refused(grpc.StatusCode.PERMISSION_DENIED, "kept for datamill's own services"):
            fetch(request)
        with refused(grpc.StatusCode.NOT_FOUND, 'pipeline "default/nobody" not found'):
            fetch(request, metadata=((SERVICE_TOKEN_HEADER, stubs.spine.token),))
    stubs.pps.DeleteSecret(pps.DeleteSecretRequest(secret=pps.Secret(name=name)))
    assert listed(stubs.pps) == before
    with refused(grpc.StatusCode.NOT_FOUND, f'failed to delete secret: secrets "{name}" not found'):
        stubs.pps.DeleteSecret(pps.DeleteSecretRequest(secret=pps.Secret(name=name)))
    with refused(grpc.StatusCode.NOT_FOUND, f'failed to get secret: secrets "{name}" not found'):
        stubs.pps.InspectSecret(pps.InspectSecretRequest(secret=pps.Secret(name=name)))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "secret: value is required"):
        stubs.pps.InspectSecret(pps.InspectSecretRequest())
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "failed to unmarshal secret"):
        stubs.pps.CreateSecret(pps.CreateSecretRequest(file=b"{"))


def test_a_pipeline_is_refused_without_its_secret_crashes_when_it_goes_and_has_the_new_value_then(stubs: Stubs) -> None:
    secret, stub = unique("db"), stubs.pps
    mount = pps.SecretMount(name=secret, key="password", env_var="PASSWORD")
    with refused(grpc.StatusCode.UNKNOWN, f"missing Kubernetes secret {secret}"):
        asking(stubs, "true", mount)
    create(stub, secret, password=VALUE)
    with refused(grpc.StatusCode.UNKNOWN, f"Kubernetes secret {secret} missing key no"):
        asking(stubs, "true", pps.SecretMount(name=secret, key="no", env_var="A"))
    with refused(grpc.StatusCode.UNKNOWN, f"secret {secret} has env_var set but is missing key"):
        asking(stubs, "true", pps.SecretMount(name=secret, env_var="A"))
    stubs.source.modify(put("/a", b"x"))
    name = asking(stubs, 'printf %s "$PASSWORD" | rev > "/pfs/out/$(basename "$data")"', mount)
    assert job_of(stubs, name).state == pps.JOB_SUCCESS

    def state() -> tuple[int, str]:
        info = stub.InspectPipeline(pps.InspectPipelineRequest(pipeline=named(name)))
        return info.state, info.reason

    stub.DeleteSecret(pps.DeleteSecretRequest(secret=pps.Secret(name=secret)))
    eventually(lambda: state() == (pps.PIPELINE_CRASHING, f"missing Kubernetes secret {secret}"))
    create(stub, secret, password=OTHER)
    eventually(lambda: state() == (pps.PIPELINE_RUNNING, ""))
    stubs.source.modify(put("/b", b"x"))
    assert job_of(stubs, name, stubs.source.wait().commit.id).state == pps.JOB_SUCCESS
    found = {path: content(stubs, output(name), path).decode() for path in ("/a", "/b")}
    assert found == {"/a": VALUE[::-1], "/b": OTHER[::-1]}, "what is done is not done again"
    stub.DeletePipeline(pps.DeletePipelineRequest(pipeline=named(name)))


@contextmanager
def alone(root: Path, nats_url: str, token: str, pfs_address: str, **more: str) -> Iterator[tuple[Any, Any]]:
    """PPS without Jobs: its stub, and its process."""
    env = settings("pps", root, nats_url=nats_url, token=token)
    env |= {"PPS_PFS": pfs_address, "PPS_JOBS": f"127.0.0.1:{free_port()}", **more}
    with running(service_command("pps"), env=env, ready=SERVING) as found, channel(found[1]) as opened:
        yield pps_grpc.APIStub(opened), found


def test_secrets_outlive_a_kill_and_their_key_can_be_replaced(
    tmp_path: Path, nats_url: str, service_token: str, pfs_address: str
) -> None:
    start = (tmp_path, nats_url, service_token, pfs_address)

    def sealed() -> bytes:
        with sqlite3.connect(tmp_path / "pps" / "pps.db") as db:
            return bytes(db.execute("SELECT sealed FROM secrets").fetchone()[0])

    with alone(*start) as (stub, process):
        create(stub, "db", password=VALUE)
        process.kill()
    first, old = sealed(), (tmp_path / "pps" / "secrets.key").read_text().strip()
    new = base64.b64encode(b"n" * 32).decode()
    with alone(*start, PPS_SECRETS_KEY=f"{new},{old}") as (stub, process):
        assert listed(stub) == {"db"}
        assert sealed() != first
    with alone(*start, PPS_SECRETS_KEY=new) as (stub, process):
        mount = pps.SecretMount(name="db", key="no", env_var="A")
        request = pipeline("p", "true", leaf("none", "/*"))
        request.transform.secrets.append(mount)
        with refused(grpc.StatusCode.UNKNOWN, "Kubernetes secret db missing key no"):
            stub.CreatePipeline(request)
    with alone(*start) as (stub, process):
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "sealed with a key that this instance does not have"):
            stub.CreatePipeline(request)
        assert new not in process.log
