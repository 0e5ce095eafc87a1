"""What a spec wants of containers."""

from services.pps.duties.containers import container_of
from services.pps.runtimes.port import Container, Resources


def test_a_spec_in_the_words_of_runtimes() -> None:
    spec = {
        "transform": {"image": "busybox:1", "user": "me", "imagePullSecrets": ["hub"], "memoryVolume": True},
        "resourceRequests": {"cpu": 0.5, "memory": "1Gi", "disk": "2G"},
        "resourceLimits": {"gpu": {"type": "nvidia.com/gpu", "number": "2"}},
        "service": {"externalPort": 80, "internalPort": 8080},
        "metadata": {"labels": {"team": "vision"}},
    }
    assert container_of(spec) == Container(
        image="busybox:1",
        user="me",
        pull_secrets=("hub",),
        requests=Resources(cpu=0.5, memory_bytes=1 << 30, disk_bytes=2_000_000_000),
        limits=Resources(gpus=("nvidia.com/gpu", 2)),
        memory_volume=True,
        ports=(80, 8080),
        labels={"team": "vision"},
    )


def test_most_is_left_unsaid() -> None:
    assert container_of({"transform": {"image": "ubuntu:20.04"}}) == Container(image="ubuntu:20.04")
