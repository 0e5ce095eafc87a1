"""Settings of the file service, read once from PFS_<FIELD>."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """store_root: the folder of the object store; packs under way lie in its `incoming`."""

    database_url: str
    nats_url: str
    store_root: Path
    listen: str = "127.0.0.1:7010"
    service_token: str = ""
    otlp_collector: str = ""
    log_level: str = "INFO"
    drain: timedelta = timedelta(seconds=10)
