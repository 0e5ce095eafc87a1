"""Stand-ins for what a worker talks to, in this process: work, content with a real folder of packs, and OTLP.

They keep the protocol's promises that the shim relies on (leases, packs checked when sealed, hand-in once) and can
be made to fail on purpose, which real services cannot. The whole chain with real services is tested in
tests/system/pipelines.
"""

import itertools
import os
import queue
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from blake3 import blake3
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BytesValue
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from datamill.wire import content_v1_pb2 as content
from datamill.wire import content_v1_pb2_grpc, pfs_v2_pb2_grpc, work_v1_pb2_grpc
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.kit import packs

COMMIT = "0" * 12 + "4" + "0" * 19
JOB = "1" * 12 + "4" + "1" * 19


@dataclass
class Line:
    """A log line as it arrived."""

    message: str
    stream: str
    datum: str
    seen: float
    at: float


@dataclass
class Fault:
    """What goes wrong on purpose."""

    away: bool = False  # every call answers UNAVAILABLE
    held: bool = True
    cancel: list[str] = field(default_factory=list)
    hold_traces: threading.Event = field(default_factory=threading.Event)


class Double(
    work_v1_pb2_grpc.WorkServiceServicer,
    content_v1_pb2_grpc.ContentServiceServicer,
    pfs_v2_pb2_grpc.APIServicer,
    trace_service_pb2_grpc.TraceServiceServicer,
):
    """PFS and Jobs as a worker sees them."""

    def __init__(self, root: Path, *, shared: bool = True) -> None:
        self.root = root
        self.shared = shared
        (root / "incoming").mkdir(parents=True)
        (root / "probe").write_text("the probe")
        self.fault = Fault()
        self.files: dict[str, content.Content] = {}
        self.sealed: dict[bytes, list[packs.Blob]] = {}
        self.file_sets: dict[str, list[content.Entry]] = {}
        self.completed: list[work.CompleteSetRequest] = []
        self.returned: list[work.ReturnSetRequest] = []
        self.activity: list[work.ReportActivityRequest] = []
        self.lines: list[Line] = []
        self.spans: list[trace_pb2.Span] = []
        self.calls: dict[str, int] = defaultdict(int)
        self.tokens: set[str] = set()
        self.changed = threading.Condition()
        self._sets: queue.Queue[work.DatumSet] = queue.Queue()
        self._numbers = itertools.count()
        self._pool = ThreadPoolExecutor(16)
        self._server: grpc.Server | None = None
        self.address = ""

    # the tests' side

    def start(self) -> None:
        self._server = grpc.server(self._pool, options=(("grpc.max_receive_message_length", 20 << 20),))
        work_v1_pb2_grpc.add_WorkServiceServicer_to_server(self, self._server)
        content_v1_pb2_grpc.add_ContentServiceServicer_to_server(self, self._server)
        pfs_v2_pb2_grpc.add_APIServicer_to_server(self, self._server)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.address = f"127.0.0.1:{self._server.add_insecure_port(self.address or '127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def put(self, files: dict[str, bytes]) -> None:
        """Store files as PFS would."""
        pack = packs.PackBuilder()
        name = os.urandom(16)
        for path, data in files.items():
            made = content.Content(size_bytes=len(data), digest=blake3(data).digest())
            lengths = packs.cut(data, last=True) if len(data) > packs.BIG_FILE_BYTES else [len(data)] if data else []
            at = 0
            for length in lengths:
                blob = pack.add(data[at : at + length])
                made.extents.add(
                    pack_id=name,
                    offset_bytes=blob.offset,
                    stored_bytes=blob.stored_bytes,
                    codec=blob.codec,
                    size_bytes=length,
                    digest=blob.digest,
                )
                at += length
            self.files[path] = made
        target = self.pack_path(name)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(pack.finish())

    def pack_path(self, name: bytes) -> Path:
        return self.root / name.hex()[:2] / name.hex()

    def give(self, *datums: work.Datum, ttl: int = 30) -> None:
        number = next(self._numbers)
        datum_set = work.DatumSet(lease=f"lease-{number}", index=number, datums=datums)
        datum_set.lease_ttl.seconds = ttl
        datum_set.job.id = JOB
        datum_set.job.pipeline.name = "edges"
        datum_set.job.pipeline.project.name = "default"
        datum_set.output_commit.id = JOB
        datum_set.traceparent = f"00-{'ab' * 16}-{'cd' * 8}-01"
        self._sets.put(datum_set)

    def wait_for(self, what: Any, seconds: float = 120.0) -> None:
        with self.changed:
            assert self.changed.wait_for(what, seconds), f"{what} did not come about in {seconds} s"

    def done(self, count: int = 1, seconds: float = 120.0) -> work.CompleteSetRequest:
        self.wait_for(lambda: len(self.completed) >= count, seconds)
        return self.completed[count - 1]

    def texts(self, stream: str | None = None) -> list[str]:
        return [line.message for line in self.lines if stream is None or line.stream == stream]

    def content_of(self, file_set: str) -> dict[str, bytes]:
        """path -> bytes of every entry, read from the packs as a reader would."""
        return {entry.path: self.read(entry.content) for entry in self.file_sets.get(file_set, ())}

    def read(self, what: content.Content) -> bytes:
        data = b""
        for extent in what.extents:
            whole = self.pack_path(extent.pack_id).read_bytes()
            stored = whole[extent.offset_bytes : extent.offset_bytes + extent.stored_bytes]
            data += bytes(packs.decode(stored, extent.codec, extent.digest))
        assert len(data) == what.size_bytes
        assert blake3(data).digest() == what.digest
        return data

    def _enter(self, name: str, context: Any) -> None:
        with self.changed:
            self.calls[name] += 1
            for key, value in context.invocation_metadata():
                if key == "datamill-service-token":
                    self.tokens.add(value)
            self.changed.notify_all()
        if self.fault.away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away on purpose")

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()

    # datamill.work.v1

    def LeaseSet(self, request: work.LeaseSetRequest, context: Any) -> work.LeaseSetResponse:
        self._enter("LeaseSet", context)
        until = time.monotonic() + min(request.max_wait.seconds, 60)
        while context.is_active() and time.monotonic() < until:
            try:
                return work.LeaseSetResponse(set=self._sets.get(timeout=0.05))
            except queue.Empty:
                continue
        return work.LeaseSetResponse()

    def RenewLease(self, request: work.RenewLeaseRequest, context: Any) -> work.RenewLeaseResponse:
        self._enter("RenewLease", context)
        cancel, self.fault.cancel = self.fault.cancel, []
        reason = "" if self.fault.held else "the job was stopped"
        return work.RenewLeaseResponse(held=self.fault.held, reason=reason, cancel_datum_ids=cancel)

    def CompleteSet(self, request: work.CompleteSetRequest, context: Any) -> work.CompleteSetResponse:
        self._enter("CompleteSet", context)
        self.completed.append(request)
        self._tell()
        return work.CompleteSetResponse(counted=True)

    def ReturnSet(self, request: work.ReturnSetRequest, context: Any) -> work.ReturnSetResponse:
        self._enter("ReturnSet", context)
        self.returned.append(request)
        self._tell()
        return work.ReturnSetResponse()

    def ReportActivity(self, request: work.ReportActivityRequest, context: Any) -> work.ReportActivityResponse:
        self._enter("ReportActivity", context)
        self.activity.append(request)
        self._tell()
        return work.ReportActivityResponse()

    # datamill.content.v1

    def GetStore(self, request: content.GetStoreRequest, context: Any) -> content.GetStoreResponse:
        self._enter("GetStore", context)
        if not self.shared:
            return content.GetStoreResponse()
        return content.GetStoreResponse(local_root=str(self.root), probe_path="probe", probe_value="the probe")

    def StartPack(self, request: content.StartPackRequest, context: Any) -> content.StartPackResponse:
        self._enter("StartPack", context)
        path = str(self.root / "incoming" / request.pack_id.hex()) if self.shared else ""
        return content.StartPackResponse(pack_id=request.pack_id, incoming_path=path)

    def PutPack(self, request_iterator: Iterator[content.PutPackRequest], context: Any) -> content.PutPackResponse:
        self._enter("PutPack", context)
        name = next(request_iterator).pack_id
        data = b"".join(piece.data for piece in request_iterator)
        (self.root / "incoming" / name.hex()).write_bytes(data)
        return content.PutPackResponse(size_bytes=len(data))

    def SealPack(self, request: content.SealPackRequest, context: Any) -> content.SealPackResponse:
        self._enter("SealPack", context)
        target = self.pack_path(request.pack_id)
        if not target.exists():
            incoming = self.root / "incoming" / request.pack_id.hex()
            self.sealed[request.pack_id] = packs.verify_pack(incoming)
            target.parent.mkdir(exist_ok=True)
            incoming.rename(target)
        return content.SealPackResponse(blobs=len(self.sealed[request.pack_id]))

    def PutEntries(
        self, request_iterator: Iterator[content.PutEntriesRequest], context: Any
    ) -> content.PutEntriesResponse:
        self._enter("PutEntries", context)
        entries = [entry for request in request_iterator for entry in stated(request.columns)]
        name = os.urandom(16).hex()
        self.file_sets[name] = entries
        answer = content.PutEntriesResponse(file_set_id=name, entries=len(entries))
        answer.ttl.seconds = 600
        return answer

    def ResolveFiles(
        self, request: content.ResolveFilesRequest, context: Any
    ) -> Iterator[content.ResolveFilesResponse]:
        self._enter("ResolveFiles", context)
        answer = content.ResolveFilesResponse()
        for number, wanted in enumerate(request.wanted):
            path = wanted.path
            below = [name for name in self.files if name == path or (path.endswith("/") and name.startswith(path))]
            for name in sorted(below):
                answer.files.add(wanted=number, path=name, content=self.files[name])
            if len(answer.files) >= 1000:
                yield answer
                answer = content.ResolveFilesResponse()
        yield answer

    # pfs_v2

    def GetFile(self, request: pfs.GetFileRequest, context: Any) -> Iterator[BytesValue]:
        self._enter("GetFile", context)
        data = self.read(self.files[request.file.path])
        for at in range(0, len(data), 1 << 20):
            yield BytesValue(value=data[at : at + (1 << 20)])

    def RenewFileSet(self, request: pfs.RenewFileSetRequest, context: Any) -> Empty:
        self._enter("RenewFileSet", context)
        if request.ttl_seconds > 1800:
            context.abort(grpc.StatusCode.UNKNOWN, "ttl exceeds max ttl")
        return Empty()

    # OTLP

    def Export(self, request: Any, context: Any) -> Any:
        self._enter("Export", context)
        seen = time.time()
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self._take(span, seen)
        self._tell()
        return trace_service_pb2.ExportTraceServiceResponse()

    def _take(self, span: trace_pb2.Span, seen: float) -> None:
        self.spans.append(span)
        tags = {pair.key: pair.value.string_value for pair in span.attributes}
        for event in span.events:
            values = {pair.key: pair.value.string_value for pair in event.attributes}
            self.lines.append(
                Line(
                    values["message"],
                    values["stream"],
                    tags.get("datamill.datum", ""),
                    seen,
                    event.time_unix_nano / 1e9,
                )
            )


def datum(
    number: int, *paths: str, name: str = "in", size: int = 0, empty: bool = False, lazy: bool = False
) -> work.Datum:
    made = work.Datum(id=f"{number:064x}", hash=f"{number:064x}")
    for path in paths:
        item = made.inputs.add(name=name, size_bytes=size, digest=blake3(path.encode()).digest(), empty_files=empty)
        item.lazy = lazy
        item.file.path = path
        item.file.commit.id = COMMIT
        item.file.commit.repo.name = "images"
        item.file.commit.repo.project.name = "default"
    return made


def pipeline(*cmd: str, **more: Any) -> pps.PipelineInfo:
    """more: fields of Transform, or of Details."""
    info = pps.PipelineInfo(version=1)
    info.pipeline.name = "edges"
    info.pipeline.project.name = "default"
    info.details.transform.cmd.extend(cmd)
    for key, value in more.items():
        place: Any = info.details.transform if key in pps.Transform.DESCRIPTOR.fields_by_name else info.details
        if key == "datum_timeout":
            place.datum_timeout.FromNanoseconds(int(value * 1e9))
        elif isinstance(value, list):
            getattr(place, key).extend(value)
        elif isinstance(value, dict):
            getattr(place, key).update(value)
        else:
            setattr(place, key, value)
    return info


def stated(columns: content.EntryColumns) -> Iterator[content.Entry]:
    """The entries of a message, each by itself."""
    paths = columns.paths.decode().split("\0")
    datums = columns.datums.decode().split("\0") if columns.datums else [""] * len(paths)
    count, chunked = len(paths), {each.entry: each.extents for each in columns.chunked}
    sizes, offsets = (struct.unpack(f"<{count}Q", column) for column in (columns.sizes, columns.offsets))
    stored = struct.unpack(f"<{count}Q", columns.stored or columns.sizes)
    packs = struct.unpack(f"<{count}I", columns.packs)
    assert list(zip(paths, datums, strict=True)) == sorted(set(zip(paths, datums, strict=True)))
    for number, path in enumerate(paths):
        digest = columns.digests[32 * number : 32 * number + 32]
        what = content.Content(size_bytes=sizes[number], digest=digest, extents=chunked.get(number, ()))
        if packs[number]:
            what.extents.add(
                pack_id=columns.pack_ids[packs[number] - 1],
                offset_bytes=offsets[number],
                stored_bytes=stored[number],
                codec=columns.codecs[number] if columns.codecs else 0,
                size_bytes=sizes[number],
                digest=digest,
            )
        yield content.Entry(path=path, datum=datums[number], content=what)
