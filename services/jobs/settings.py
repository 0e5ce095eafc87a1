"""Settings of the jobs service, read once from JOBS_<FIELD>."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """store: of plans, records and datum indexes, file:///folder or s3://host:port/bucket/prefix.

    otlp_collector: where spans are forwarded, or empty.

    gc_every: how often what deleted jobs have left is collected, 0s for never. gc_hold: how long readers have still.

    keep_logs, keep_log_bytes: of lines in the stream, all pipelines together. seal_logs_after: how long after a job's
    end its lines go into the store. keep_sealed_logs: how long they stay there at most; 0s for as long as the job.
    set_lease: how long a worker of whom nothing is heard keeps its datums.

    replica: the name of this one among those over the same database, the same after a restart, or empty.
    """

    database_url: str
    nats_url: str
    pfs: str  # "host:port"
    pps: str  # "host:port"
    store: str
    listen: str = "127.0.0.1:7030"
    replica: str = ""
    service_token: str = ""
    otlp_collector: str = ""
    log_level: str = "INFO"
    drain: timedelta = timedelta(seconds=10)
    set_lease: timedelta = timedelta(seconds=30)
    gc_every: timedelta = timedelta(hours=1)
    gc_hold: timedelta = timedelta(hours=6)
    keep_logs: timedelta = timedelta(days=7)
    keep_log_bytes: int = 1 << 30
    seal_logs_after: timedelta = timedelta(seconds=10)
    keep_sealed_logs: timedelta = timedelta(0)
