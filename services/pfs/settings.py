"""Settings of the file service, read once from PFS_<FIELD>."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """store: the object store, file:///folder or s3://host:port/bucket/prefix (kit/objects/address.py).
    gc_every: how often garbage is collected, 0s for never. gc_hold: how long what nothing refers to is kept for callers
    that read packs themselves, and what they have written for them to name it. gc_gain_bytes: how much less a sparse
    pack of trees must take to be rewritten.
    replica: the name of this one among those over the same database, the same after a restart, or empty.
    url_folders, url_hosts: what URLs of callers may name (kit/urls/rules.py): folders apart by ":", none for none of
    this machine's files; hosts and scheme://bucket apart by ",", none for every one.
    http_listen: where files are offered over HTTP, "host:port"; empty for nowhere. http_origins: of web pages of other
    sites that may read there, apart by ",".
    """

    database_url: str
    nats_url: str
    store: str
    listen: str = "127.0.0.1:7010"
    http_listen: str = ""
    http_origins: str = ""
    service_token: str = ""
    replica: str = ""
    url_folders: str = ""
    url_hosts: str = ""
    otlp_collector: str = ""
    log_level: str = "INFO"
    drain: timedelta = timedelta(seconds=10)
    gc_every: timedelta = timedelta(hours=1)
    gc_hold: timedelta = timedelta(hours=6)
    gc_gain_bytes: int = 64 << 10
