"""An instance on one machine: up, status, down; data that stays; clear refusals; parts that are killed come back."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pfs_v2_pb2_grpc as pfs_grpc
from datamill.wire import work_v1_pb2 as work
from datamill.wire import work_v1_pb2_grpc as work_grpc
from tests.support.servers import ROOT, alive, eventually

PARTS = ["nats", "pfs", "jobs", "pps", "gateway"]
SECONDS = 90


@dataclass(frozen=True)
class Instance:
    """A data directory and the commands on it, as a user gives them."""

    data_dir: Path

    def do(self, command: str, *options: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", "deploy.local", command, "--data-dir", str(self.data_dir), *options]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)

    def up(self) -> None:
        done = self.do("up", "--port", "0", "--detach")
        assert done.returncode == 0, done.stderr

    @property
    def target(self) -> str:
        return (self.data_dir / "address").read_text().strip().removeprefix("grpc://")

    def part(self, name: str) -> dict[str, Any]:
        state = json.loads((self.data_dir / "run" / "state.json").read_text())
        found: dict[str, Any] = next(part for part in state["parts"] if part["name"] == name)
        return found

    def supervisor(self) -> int:
        return int((self.data_dir / "run" / "lock").read_text())

    def serves(self) -> bool:
        with grpc.insecure_channel(self.target) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def repos(self) -> set[str]:
        with grpc.insecure_channel(self.target) as channel:
            listed = pfs_grpc.APIStub(channel).ListRepo(pfs.ListRepoRequest(type="user"), timeout=120)
            return {info.repo.name for info in listed}

    def create_repo(self, name: str) -> None:
        repo = pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))
        with grpc.insecure_channel(self.target) as channel:
            pfs_grpc.APIStub(channel).CreateRepo(pfs.CreateRepoRequest(repo=repo), timeout=120)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One instance for the tests of this module; each leaves it up."""
    found = Instance(tmp_path_factory.mktemp("instance") / "data")
    found.up()
    yield found
    found.do("down")


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Instance]:
    """A directory of its own on which nothing runs yet."""
    found = Instance(tmp_path / "data")
    yield found
    found.do("down")


def test_status_shows_every_part(instance: Instance) -> None:
    done = instance.do("status")
    assert done.returncode == 0, done.stdout
    assert [line.split()[0].lower() for line in done.stdout.splitlines()[2:]] == PARTS
    assert done.stdout.count(" up ") == len(PARTS)


def test_down_and_up_again_keeps_the_data(instance: Instance) -> None:
    name = f"kept-{secrets.token_hex(4)}"
    instance.create_repo(name)
    where = instance.target
    pids = [instance.part(part)["pid"] for part in PARTS]
    assert instance.do("down").stdout == "stopped\n"
    assert not any(map(alive, pids))
    assert not (instance.data_dir / "address").exists()
    assert instance.do("status").returncode == 1
    done = instance.do("up", "--detach")
    assert done.returncode == 0, done.stderr
    assert instance.target == where, "clients find it where it was"
    assert name in instance.repos()


def test_a_second_up_says_that_one_is_running(instance: Instance) -> None:
    done = instance.do("up", "--port", "0", "--detach")
    assert done.returncode == 1
    assert f"an instance is already running on {instance.data_dir} (pid {instance.supervisor()}" in done.stderr
    assert instance.serves()


@pytest.mark.parametrize("name", PARTS)
def test_a_killed_part_comes_back(instance: Instance, name: str) -> None:
    before = instance.part(name)
    os.kill(before["pid"], signal.SIGKILL)
    _until(lambda: instance.part(name)["pid"] not in {0, before["pid"]}, f"{name} is started again")
    _until(lambda: instance.part(name)["state"] == "up", f"{name} is up again")
    _until(instance.serves, "the instance serves")
    assert instance.part(name)["restarts"] == before["restarts"] + 1
    assert instance.part(name)["last_end"].startswith("killed by SIGKILL")
    assert instance.repos() is not None


def test_after_a_killed_supervisor_nothing_is_left_and_up_works(instance: Instance) -> None:
    pids = [instance.part(part)["pid"] for part in PARTS]
    os.kill(instance.supervisor(), signal.SIGKILL)
    _until(lambda: not any(map(alive, pids)), "the parts are gone with their supervisor")
    assert "no instance is running" in instance.do("status").stdout
    instance.up()
    assert instance.serves()


def test_what_a_killed_instance_left_behind_is_killed(stopped: Instance) -> None:
    """A process with the instance's mark, as a worker has it, must not live on beside the next instance."""
    mark = {"DATAMILL_INSTANCE": str(stopped.data_dir)}
    orphan = subprocess.Popen(["sleep", "600"], env={**os.environ, **mark}, start_new_session=True)
    try:
        stopped.up()
        assert orphan.wait(120) == -signal.SIGKILL
    finally:
        orphan.kill()


def test_the_service_token_does_not_pass_the_gateway(instance: Instance) -> None:
    token = (instance.data_dir / "token").read_text().strip()
    assert (instance.data_dir / "token").stat().st_mode & 0o077 == 0

    def code(target: str) -> grpc.StatusCode:
        """What the token's bearer is told by a method that is kept for datamill's own."""
        with grpc.insecure_channel(target) as channel:
            stub = work_grpc.WorkServiceStub(channel)
            try:
                stub.CompleteSet(work.CompleteSetRequest(), metadata=(("datamill-service-token", token),), timeout=120)
            except grpc.RpcError as error:
                found: grpc.StatusCode = error.code()
                return found
        return grpc.StatusCode.OK

    assert code(instance.target) is grpc.StatusCode.PERMISSION_DENIED
    assert code(f"127.0.0.1:{instance.part('jobs')['port']}") is not grpc.StatusCode.PERMISSION_DENIED


def test_nobody_answers_for_an_unknown_service(instance: Instance) -> None:
    with grpc.insecure_channel(instance.target) as channel:
        call = channel.unary_unary("/license_v2.API/Activate", request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=120)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_in_the_foreground_it_says_where_and_stops_on_ctrl_c(stopped: Instance) -> None:
    line = [sys.executable, "-m", "deploy.local", "up", "--data-dir", str(stopped.data_dir), "--port", "0"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(f"is up at grpc://{stopped.target}\n")
        pids = [stopped.part(part)["pid"] for part in PARTS]
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert not any(map(alive, pids))


def test_a_port_in_use_is_named_before_anything_starts(stopped: Instance) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = stopped.do("up", "--port", str(port), "--detach")
    assert done.returncode == 1
    assert f"port {port} is in use by " in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert "--port" in done.stderr
    assert not (stopped.data_dir / "run" / "state.json").exists()


def test_a_directory_of_a_newer_release_is_left_alone(stopped: Instance) -> None:
    stopped.data_dir.mkdir()
    (stopped.data_dir / "version").write_text("99.1.0\n")
    done = stopped.do("up", "--port", "0", "--detach")
    assert done.returncode == 1
    assert f"data directory {stopped.data_dir} was written by datamill 99.1.0; this is " in done.stderr
    assert [path.name for path in stopped.data_dir.iterdir()] == ["version"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = Instance(tmp_path / "file" / "data").do("up", "--port", "0", "--detach")
    assert done.returncode == 1
    assert f"cannot write to data directory {tmp_path}/file/data: Not a directory" in done.stderr


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """On a file system of one megabyte, mounted for this one process."""
    line = f"mount -t tmpfs -o size=1m none {tmp_path} && exec {sys.executable} -m deploy.local up"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{line} --data-dir {tmp_path}/d --port 0 --detach"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    assert f"the disk of {tmp_path}/d is full" in done.stderr


def test_a_part_that_cannot_start_shows_its_log(stopped: Instance) -> None:
    (stopped.data_dir / "pfs").mkdir(parents=True)
    (stopped.data_dir / "pfs" / "pfs.db").write_bytes(b"not a database" * 1000)
    done = stopped.do("up", "--port", "0", "--detach")
    assert done.returncode == 1
    assert "PFS does not start (exit code " in done.stderr
    assert "file is not a database" in done.stderr
    assert "no instance is running" in stopped.do("status").stdout


def test_down_without_an_instance_is_no_error(stopped: Instance) -> None:
    done = stopped.do("down")
    assert (done.returncode, done.stdout) == (0, f"no instance is running on {stopped.data_dir}\n")


def _until(condition: Callable[[], bool], what: str) -> None:
    def look() -> bool:
        try:
            return condition()
        except (OSError, ValueError):  # the state file does not exist between two instances
            return False

    eventually(look, what, SECONDS)
