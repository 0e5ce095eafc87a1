"""A real S3 server from its wheel: SeaweedFS, with one bucket; it can be stopped and started again at its address."""

import json
import secrets
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from minio import Minio
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from services.kit.objects.address import ACCESS_KEY, SECRET_KEY
from tests.support.servers import eventually, free_port, running

KEY, SECRET = "datamill-tests", secrets.token_hex(16)
BUCKET = "datamill"
START_SECONDS = 120.0


@dataclass(eq=False)
class Seaweed:
    """The server. room_mib: how much it may hold, roughly; None for as much as there is."""

    folder: Path
    room_mib: int | None = None
    port: int = field(default_factory=free_port)
    _up: ExitStack | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs besides the store's address."""
        return {ACCESS_KEY: KEY, SECRET_KEY: SECRET}

    def url(self, prefix: str = "", *, endpoint: str = "") -> str:
        """The store's address for a service, by default straight to the server."""
        return f"s3://{endpoint or self.endpoint}/{BUCKET}/{prefix}?secure=false&region=us-east-1"

    def client(self) -> Minio:
        return Minio(self.endpoint, KEY, SECRET, secure=False, region="us-east-1")

    def start(self) -> None:
        self._up = ExitStack()
        found = self._up.enter_context(running(self._command(), ready="Start Seaweed S3 API", within=START_SECONDS))
        self._up.callback(found.kill)  # told to stop, it takes its time
        client = self.client()

        def made() -> bool:
            try:
                if not client.bucket_exists(BUCKET):
                    client.make_bucket(BUCKET)
            except (MinioException, HTTPError):
                return False
            return True

        eventually(made, "the S3 server makes a bucket", START_SECONDS)

    def stop(self) -> None:
        if self._up is not None:
            self._up.close()
            self._up = None

    def _command(self) -> list[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        account = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [account]}))
        master, volume, filer = free_port(), free_port(), free_port()
        volumes = ["-volume.max=0"] if self.room_mib is None else [f"-volume.max={self.room_mib}"]
        return [
            str(Path(sysconfig.get_path("scripts")) / "weed"),
            "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.folder}",
            f"-master.port={master}", f"-master.port.grpc={free_port()}", "-master.telemetry=false",
            f"-master.volumeSizeLimitMB={1 if self.room_mib else 512}", "-master.volumePreallocate=false",
            f"-volume.port={volume}", f"-volume.port.grpc={free_port()}", "-volume.preStopSeconds=0", *volumes,
            "-filer", f"-filer.port={filer}", f"-filer.port.grpc={free_port()}",
            f"-filer.localSocket={self.folder}/f", "-s3", f"-s3.port={self.port}", f"-s3.port.grpc={free_port()}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={self.folder}/s", f"-s3.config={config}",
        ]  # fmt: skip


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """One server for the whole session, that nobody stops."""
    server = Seaweed(tmp_path_factory.mktemp("weed"))
    server.start()
    yield server
    server.stop()
