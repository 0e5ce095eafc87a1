"""What the runtime that starts a worker tells it, by WORKER_<FIELD>. None of it reaches user code."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read once, in __main__."""

    pfs: str  # "host:port"
    jobs: str  # "host:port"; work, and OTLP traces
    spec: Path  # a file with the serialized pps_v2.PipelineInfo, details included
    name: str  # the worker's lasting name, for example "edges-v1-0"
    pps: str = ""  # "host:port"; secrets, asked for once, and only when the transform has some
    service_token: str = ""
    token_file: str = ""  # holds the service token instead, and is removed once it is read
    pfs_root: Path = Path("/pfs")  # tests use a folder of their own
    log_limit_bytes: int = 64 << 20  # of one datum's output, beyond which lines are counted and dropped
    memory_bytes: int = 64 << 20  # inputs up to this size are laid out in memory, bigger ones on disk
    lease_wait: timedelta = timedelta(seconds=20)
    keep_trying: timedelta = timedelta(minutes=2)  # how long a set waits for stores and services before it is returned
    workdir: str = "/"  # where user code runs unless its transform says otherwise
    listen: str = "127.0.0.1:0"  # for pachyderm.worker.Worker
    log_level: str = "INFO"
