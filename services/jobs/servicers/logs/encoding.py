"""Lines of log as messages that are bytes already: what the lines of a batch have in common is encoded once.

Bytes of a message put behind others add their fields to it (protobuf's encoding, "Last One Wins"; messages inside are
merged), so each line is the common part and its own.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from datamill.wire import logs_pb2 as logs
from datamill.wire import pps_v2_pb2 as pps
from services.jobs.domain.logs.lines import LogBatch
from services.jobs.domain.logs.records import Record
from services.kit.rpc.server import Encoded

SECOND = 1_000_000_000
OWN = ("message", "time", "severity")


def lines_of(batch: LogBatch) -> Encoded:
    """As pps_v2.LogMessage; lines of the services are bare."""
    if not batch.scope.project:
        return Encoded(pps.LogMessage(message=text).SerializeToString() for _, text in batch.lines)
    common = _common(batch).SerializeToString()
    return Encoded(common + _line(at, text).SerializeToString() for at, text in batch.lines)


def _common(batch: LogBatch) -> pps.LogMessage:
    data = [
        pps.InputFile(path=path, hash=bytes.fromhex(hash)) for path, hash in zip(batch.paths, batch.hashes, strict=True)
    ]
    scope = batch.scope
    return pps.LogMessage(
        project_name=scope.project, pipeline_name=scope.pipeline, job_id=scope.job, datum_id=scope.datum,
        worker_id=batch.worker, master=batch.master, user=batch.user, data=data,
    )  # fmt: skip


def _line(at: int, text: str) -> pps.LogMessage:
    return pps.LogMessage(ts=_time(at), message=text.rstrip("\n"))


def _time(at: int) -> Timestamp:
    return Timestamp(seconds=at // SECOND, nanos=at % SECOND)


class Records:
    """Encodes records as logs.GetLogsResponse; those of one batch come mostly after one another."""

    def __init__(self) -> None:
        self._batch: LogBatch | None = None
        self._common = b""

    def __call__(self, record: Record) -> bytes:
        batch = record.batch
        if batch is not self._batch:
            self._batch, self._common = batch, _shared(record).SerializeToString()
        is_ours = not batch.scope.project
        own = record.fields if is_ours else {name: record.fields[name] for name in OWN}
        time = _time(record.at)
        message = logs.LogMessage(
            verbatim=logs.VerbatimLogMessage(line=record.raw.encode("utf-8", "replace"), timestamp=time),
            object=_struct(own),
            native_timestamp=time,
            pps_log_message=None if is_ours else _line(record.at, record.text),
        )
        return self._common + logs.GetLogsResponse(log=message).SerializeToString()


def _shared(record: Record) -> logs.GetLogsResponse:
    labels = {f"#{name}": value for name, value in record.labels.items()}
    if not record.batch.scope.project:
        return logs.GetLogsResponse(log=logs.LogMessage(object=_struct(labels)))
    fields = {name: value for name, value in record.fields.items() if name not in OWN}
    return logs.GetLogsResponse(
        log=logs.LogMessage(object=_struct(fields | labels), pps_log_message=_common(record.batch))
    )


def _struct(fields: Mapping[str, Any]) -> Struct:
    made = Struct()
    made.update(dict(fields))
    return made
