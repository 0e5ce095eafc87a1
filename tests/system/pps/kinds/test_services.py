"""Services: a process that serves the newest inputs at a port until newer ones replace them."""

import urllib.request
from contextlib import suppress
from typing import Any

import psutil

from datamill.wire import pps_v2_pb2 as pps
from tests.support.patience import eventually
from tests.support.servers import free_port, unique
from tests.system.chaos.patient import Patient

SERVE = "exec python3 -m http.server {port} --bind 127.0.0.1 --directory /pfs/{name}"


def service(name: str, source: str, ports: tuple[int, int], glob: str = "/") -> dict[str, Any]:
    return {
        "pipeline": {"name": name},
        "transform": {"cmd": ["sh", "-c", SERVE.format(port=ports[0], name=source)]},
        "input": {"pfs": {"repo": source, "glob": glob}},
        "service": {"internalPort": ports[0], "externalPort": ports[1]},
    }


def served(port: int, path: str) -> bytes:
    """What is served, or nothing."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
        return bytes(answer.read())
    return b""


def test_the_newest_inputs_are_served_until_newer_ones_come(instance: Patient) -> None:
    source, name, ports = unique("in"), unique("service"), (free_port(), free_port())
    instance.create_repo(source)
    first = instance.have_commit(f"{source}@master", {"/page": b"one"})
    instance.create_pipeline(service(name, source, ports))
    eventually(lambda: served(ports[1], "page") == b"one")
    info = instance.inspect_pipeline(name)
    assert info.type == pps.PipelineInfo.PIPELINE_TYPE_SERVICE
    assert (info.details.service.ip, info.details.service.external_port) == ("127.0.0.1", ports[1])
    assert {one.repo.type for one in instance.list_repos(type="") if one.repo.name == name} == {"user", "spec"}
    jobs = instance.jobs(name)
    assert [job.state for job in jobs] == [pps.JOB_RUNNING]

    second = instance.have_commit(f"{source}@master", {"/page": b"two"})
    eventually(lambda: served(ports[1], "page") == b"two")
    assert instance.ended(name, jobs[0].job.id).state == pps.JOB_SUCCESS
    assert instance.job(name, second).state == pps.JOB_RUNNING
    assert first != second

    def die() -> bool:
        found = [one for one in psutil.process_iter() if _listens(one, ports[0])]
        for process in found:
            process.kill()
        return bool(found)

    eventually(die)
    eventually(lambda: served(ports[1], "page") == b"two")
    assert instance.job(name, second).state == pps.JOB_RUNNING, "a service that ends is started again"

    other = (free_port(), ports[1])
    instance.create_pipeline(service(name, source, other), update=True)
    eventually(lambda: served(other[0], "page") == b"two")
    eventually(lambda: served(ports[1], "page") == b"two")
    assert instance.ended(name, second).state == pps.JOB_KILLED
    instance.stop_pipeline(name)
    eventually(lambda: not served(ports[1], "page"))
    assert {job.state for job in instance.jobs(name)} <= {pps.JOB_KILLED, pps.JOB_SUCCESS}
    instance.start_pipeline(name)
    eventually(lambda: served(ports[1], "page") == b"two")
    instance.delete_pipeline(name)
    eventually(lambda: not served(ports[1], "page"))


def _listens(process: psutil.Process, port: int) -> bool:
    with suppress(psutil.Error):
        words = process.cmdline()
        return "http.server" in words and str(port) in words and "python" in words[0]
    return False


def test_a_service_without_a_single_datum_waits_for_the_next_job(instance: Patient) -> None:
    source, name, ports = unique("in"), unique("service"), (free_port(), free_port())
    instance.create_repo(source)
    two = instance.have_commit(f"{source}@master", {"/page": b"one", "/other": b"two"})
    instance.create_pipeline(service(name, source, ports, glob="/*"))

    def said() -> bool:
        lines = [line.message for line in instance.logs(pipeline=name, master=True)]
        return any("services must have a single datum" in line for line in lines)

    eventually(said)
    newest = instance.jobs(name)[0].job.id
    eventually(lambda: instance.job(name, newest).state == pps.JOB_RUNNING)
    assert not served(ports[1], "page")
    assert instance.inspect_pipeline(name).details.service.type == "NodePort"
    waits = "and waits for the next job: services must have a single datum, and it has 2"
    assert waits in instance.why_job(f"{name}@{newest}").sentence
    one = instance.have_commit(f"{source}@master", {}, removed=["/other"])
    eventually(lambda: served(ports[1], "page") == b"one")
    assert instance.ended(name, newest).state == pps.JOB_SUCCESS
    assert instance.job(name, one).state == pps.JOB_RUNNING
    assert two != one
    instance.delete_pipeline(name)


def test_a_spout_may_have_a_port_and_an_input_that_starts_nothing(instance: Patient) -> None:
    source, name, ports = unique("in"), unique("spout"), (free_port(), free_port())
    instance.create_repo(source)
    spec = service(name, source, ports)
    spec["transform"]["cmd"] = ["python3", "-m", "http.server", str(ports[0]), "--bind", "127.0.0.1", "-d", "/pfs"]
    spec["spout"] = {"service": spec.pop("service")}
    instance.create_pipeline(spec)
    eventually(lambda: b"Directory listing" in served(ports[1], ""))
    assert instance.inspect_pipeline(name).details.spout.service.ip == "127.0.0.1"
    before = [info.commit.id for info in instance.list_commits(name)]
    instance.have_commit(f"{source}@master", {"/page": b"one"})
    assert [info.commit.id for info in instance.list_commits(name)] == before
    instance.delete_pipeline(name)
    eventually(lambda: not served(ports[1], ""))
