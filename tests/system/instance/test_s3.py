"""A whole instance over S3: a DAG through an outage of the store, folders in and out, what `up` and `status` say."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import datamill
from datamill.bulk.fetching import unpacking
from datamill.bulk.sending import storing
from datamill.bulk.signed import Signed
from datamill.wire import pps_v2_pb2 as pps
from tests.support.proxy import Mood, Proxy, proxy_to
from tests.support.seaweed import BUCKET, SECRET, Seaweed
from tests.support.servers import free_port, unique
from tests.system.chaos.dag import PIPELINES, names_of, wanted_outputs
from tests.system.chaos.patient import Patient
from tests.system.instance.test_up import PARTS, Instance

NAMES = names_of(PIPELINES)


@pytest.fixture(scope="module")
def proxy(seaweed: Seaweed) -> Iterator[Proxy]:
    with proxy_to(seaweed.port) as found:
        yield found


@pytest.fixture(scope="module")
def credentials(seaweed: Seaweed) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in seaweed.environment.items():
            patched.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def instance(
    tmp_path_factory: pytest.TempPathFactory, seaweed: Seaweed, proxy: Proxy, credentials: None
) -> Iterator[Instance]:
    found = Instance(tmp_path_factory.mktemp("instance") / "data")
    address = seaweed.url(unique("instance"), endpoint=proxy.endpoint)
    done = found.do("up", "--port", "0", "--detach", "--store", address)
    assert (done.returncode, done.stderr) == (0, "")
    yield found
    proxy.mood = Mood.FAITHFUL
    found.do("down")


def test_a_dag_runs_over_s3_and_goes_on_after_an_outage(instance: Instance, proxy: Proxy) -> None:
    contents = {f"/f{number:02d}": b"%d " % number * 50 for number in range(6)}
    with Patient(instance.target) as client:
        client.have_repo("source")
        for request in PIPELINES:
            client.have_pipeline(request.pipeline.name, request)
        id = client.have_commit("source@master", contents)
        proxy.mood = Mood.AWAY
        away = instance.do("status")
        back = threading.Timer(3.0, setattr, (proxy, "mood", Mood.FAITHFUL))
        back.start()
        for name in NAMES:
            info = client.ended(name, id)
            assert info.state == pps.JOB_SUCCESS, f"{name}: {info.reason}"
        assert {name: client.contents(name, id) for name in NAMES} == wanted_outputs(contents)
    assert away.returncode == 2
    assert "does not answer" in away.stdout
    assert not (instance.data_dir / "store").exists()
    logs = "".join(path.read_text() for path in (instance.data_dir / "pps").rglob("*.log"))
    assert "content goes to the store" in logs


@pytest.mark.parametrize("way", ["straight to the store", "through the service"])
def test_folders_go_in_and_out(instance: Instance, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "straight to the store":
        monkeypatch.delattr(storing, "_pieces_of")
        monkeypatch.delattr(unpacking, "unpack")
    else:
        monkeypatch.setattr(Signed, "holds", lambda *_: False)
    wanted = {f"d{number % 7}/{number:04}": os.urandom(number % 3000) for number in range(1500)} | {
        "big": os.urandom(11 << 20)
    }
    for path, data in wanted.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(data)
    with datamill.Client(f"grpc://{instance.target}") as client:
        repo = unique("folders")
        client.create_repo(repo)
        assert client.put_folder(tmp_path / "in", f"{repo}@master") == len(wanted)
        assert client.get_folder(f"{repo}@master:/", tmp_path / "out") == len(wanted)
    found = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {path: file.read_bytes() for path, file in found.items()} == wanted


def test_only_the_services_that_need_it_have_the_secret(instance: Instance) -> None:
    def has(part: str) -> bool:
        return SECRET.encode() in Path(f"/proc/{instance.part(part)['pid']}/environ").read_bytes()

    assert {part: has(part) for part in PARTS} == {part: part in ("pfs", "jobs") for part in PARTS}


def test_it_comes_up_again_where_it_was_and_says_so(instance: Instance, proxy: Proxy) -> None:
    before = instance.repos()
    assert instance.do("down").returncode == 0
    again = instance.do("up", "--port", "0", "--detach")
    assert again.returncode == 0, again.stderr
    assert instance.repos() == before
    status = instance.do("status")
    assert status.returncode == 0
    assert f"store s3://{proxy.endpoint}/{BUCKET}/" in status.stdout
    for path in instance.data_dir.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert instance.do("down").returncode == 0
    elsewhere = instance.do("up", "--port", "0", "--detach", "--store", f"s3://{proxy.endpoint}/other")
    assert elsewhere.returncode == 1
    assert "stays with it" in elsewhere.stderr


def test_a_store_that_cannot_be_used_is_told_at_once(
    tmp_path_factory: pytest.TempPathFactory, seaweed: Seaweed, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Instance(tmp_path_factory.mktemp("nobody") / "data")
    for address, why in [
        (f"s3://127.0.0.1:{free_port()}/{BUCKET}?secure=false&patience=1", "does not answer: "),
        (f"s3://{seaweed.endpoint}/nothing-here?secure=false", "there is no bucket nothing-here; make it first"),
        (f"s3://{seaweed.endpoint}/{BUCKET}?secure=perhaps", "secure is true or false"),
        (f"s3://me:secret@{seaweed.endpoint}/{BUCKET}", "AWS_ACCESS_KEY_ID"),
        ("http://somewhere", "must be like s3://"),
    ]:
        done = nobody.do("up", "--port", "0", "--detach", "--store", address)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert why in done.stderr
        assert "secret" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    done = nobody.do("up", "--port", "0", "--detach", "--store", seaweed.url())
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.stderr
