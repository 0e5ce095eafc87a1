"""Settings of the pipeline service, read once from PPS_<FIELD>."""

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """runtime_dir: scratch folders and logs of workers; must be on a disk with room for a datum's files.

    secrets_key: what seals the values of secrets, see README.md; empty for the file `secrets.key` beside runtime_dir.

    url_hosts: what templates may import from, as in PFS (docs/urls.md); empty for what PFS may read from.

    replica: the name of this one among those over the same database, the same after a restart, or empty. Each has a
    runtime_dir of its own.

    for_workers: where workers find this service, when that is not where it listens.
    """

    database_url: str
    nats_url: str
    pfs: str  # "host:port"
    jobs: str  # "host:port"
    runtime_dir: Path
    listen: str = "127.0.0.1:7020"
    replica: str = ""
    service_token: str = ""
    worker_python: str = sys.executable
    secrets_key: str = ""
    url_hosts: str = ""
    for_workers: str = ""  # "host:port"
    otlp_collector: str = ""
    log_level: str = "INFO"
    drain: timedelta = timedelta(seconds=10)
