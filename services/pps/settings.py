"""Settings of the pipeline service, read once from PPS_<FIELD>."""

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """runtime_dir: scratch folders and logs of workers; must be on a disk with room for a datum's files."""

    database_url: str
    nats_url: str
    pfs: str  # "host:port"
    jobs: str  # "host:port"
    runtime_dir: Path
    listen: str = "127.0.0.1:7020"
    service_token: str = ""
    worker_python: str = sys.executable
    otlp_collector: str = ""
    log_level: str = "INFO"
    drain: timedelta = timedelta(seconds=10)
