"""A worker made of gRPC calls: it leases sets and hands in made-up outputs by the same protocol as the real one."""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration

from datamill.wire import content_v1_pb2 as content
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from datamill.wire.content_v1_pb2_grpc import ContentServiceStub
from datamill.wire.pfs_v2_pb2_grpc import APIStub as PfsStub
from datamill.wire.pps_v2_pb2_grpc import APIStub as PpsStub
from datamill.wire.work_v1_pb2_grpc import WorkServiceStub
from services.kit.packs import PackBuilder, digest_of
from services.kit.rpc.server import SERVICE_TOKEN_HEADER

Outputs = Callable[[work.Datum], Mapping[str, bytes] | None]
"""What a datum writes; None: it fails."""
RECOVERED: Mapping[str, bytes] = {}  # it fails, and its error command makes that good


def copy_names(datum: work.Datum) -> dict[str, bytes]:
    """A file for each input, at the same path."""
    return {one.file.path: one.digest for one in datum.inputs}


@dataclass
class Hands:
    """One worker."""

    pfs: grpc.Channel
    jobs: grpc.Channel
    token: str
    pipeline: str
    version: int = 1
    name: str = field(default_factory=lambda: f"hands-{secrets.token_hex(3)}")
    incarnation: str = field(default_factory=lambda: f"{time.time_ns():016x}{secrets.token_hex(4)}")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return ((SERVICE_TOKEN_HEADER, self.token),)

    @property
    def stub(self) -> WorkServiceStub:
        return WorkServiceStub(self.jobs)

    def lease(self, seconds: float = 120) -> work.DatumSet | None:
        """A set, waiting for it."""
        wait = Duration()
        wait.FromTimedelta(timedelta(seconds=seconds))
        request = work.LeaseSetRequest(
            pipeline=pipeline(self.pipeline),
            pipeline_version=self.version,
            worker=self.name,
            incarnation=self.incarnation,
            max_wait=wait,
        )
        answer = self.stub.LeaseSet(request, metadata=self.metadata, timeout=seconds + 60)
        return answer.set if answer.HasField("set") else None

    def renew(self, held: work.DatumSet) -> work.RenewLeaseResponse:
        request = work.RenewLeaseRequest(
            lease=held.lease, job=held.job, index=held.index, worker=self.name, incarnation=self.incarnation
        )
        return self.stub.RenewLease(request, metadata=self.metadata, timeout=60)

    def results(self, held: work.DatumSet, outputs: Outputs = copy_names) -> work.CompleteSetRequest:
        """Store what the datums of a set write, and say so."""
        builder, out, meta, answers = PackBuilder(), list[content.Entry](), list[content.Entry](), []
        pack = secrets.token_bytes(16)

        def entry(path: str, datum: str, data: bytes) -> content.Entry:
            blob = builder.add(data)
            extent = content.Extent(
                pack_id=pack, offset_bytes=blob.offset, stored_bytes=len(data), size_bytes=len(data), digest=blob.digest
            )
            what = content.Content(size_bytes=len(data), digest=digest_of(data), extents=[extent] if data else [])
            return content.Entry(path=path, datum=datum, content=what)

        for datum in held.datums:
            files = outputs(datum)
            state = pps.DatumState.FAILED if files is None else pps.DatumState.SUCCESS
            if files is RECOVERED:
                state = pps.DatumState.RECOVERED
            out += [entry(path, datum.id, data) for path, data in (files or {}).items()]
            meta.append(entry(f"/meta/{datum.id}/meta", datum.id, json.dumps({"state": int(state)}).encode()))
            stats = pps.ProcessStats(download_bytes=1, upload_bytes=2)
            answers.append(
                work.DatumResult(
                    datum_id=datum.id,
                    state=state,
                    outputs=list(files or {}),
                    stats=stats,
                    reason="it was told to fail" if files is None else "",
                )
            )
        self._store(pack, builder.finish())
        return work.CompleteSetRequest(
            lease=held.lease,
            job=held.job,
            index=held.index,
            results=answers,
            output_file_set_id=self._file_set(out),
            meta_file_set_id=self._file_set(meta),
            worker=self.name,
        )

    def complete(self, request: work.CompleteSetRequest) -> bool:
        answer: work.CompleteSetResponse = self.stub.CompleteSet(request, metadata=self.metadata, timeout=60)
        return answer.counted

    def do_one(self, outputs: Outputs = copy_names, seconds: float = 120) -> work.DatumSet:
        """Lease a set and hand it in."""
        held = self.lease(seconds)
        assert held is not None, "no work came"
        assert self.complete(self.results(held, outputs))
        return held

    def _store(self, pack: bytes, data: bytes) -> None:
        stub = ContentServiceStub(self.pfs)
        stub.StartPack(content.StartPackRequest(pack_id=pack), metadata=self.metadata)

        def pieces() -> Iterator[content.PutPackRequest]:
            yield content.PutPackRequest(pack_id=pack, data=data[: 1 << 20])
            for at in range(1 << 20, len(data), 1 << 20):
                yield content.PutPackRequest(data=data[at : at + (1 << 20)])

        stub.PutPack(pieces(), metadata=self.metadata)
        stub.SealPack(content.SealPackRequest(pack_id=pack), metadata=self.metadata)

    def _file_set(self, entries: list[content.Entry]) -> str:
        if not entries:
            return ""
        batches = [content.PutEntriesRequest(entries=entries[at : at + 1000]) for at in range(0, len(entries), 1000)]
        made: content.PutEntriesResponse = ContentServiceStub(self.pfs).PutEntries(
            iter(batches), metadata=self.metadata
        )
        return made.file_set_id


def project() -> pfs.Project:
    return pfs.Project(name="default")


def repo(name: str, type: str = "user") -> pfs.Repo:
    return pfs.Repo(name=name, type=type, project=project())


def pipeline(name: str) -> pps.Pipeline:
    return pps.Pipeline(name=name, project=project())


def job(name: str, id: str) -> pps.Job:
    return pps.Job(pipeline=pipeline(name), id=id)


@dataclass
class Bench:
    """An input repo and a pipeline over it, with the calls that tests make."""

    pfs_channel: grpc.Channel
    pps_channel: grpc.Channel
    jobs_channel: grpc.Channel
    token: str
    name: str
    source: str

    @property
    def files(self) -> PfsStub:
        return PfsStub(self.pfs_channel)

    @property
    def pipelines(self) -> PpsStub:
        return PpsStub(self.pps_channel)

    @property
    def jobs(self) -> PpsStub:
        return PpsStub(self.jobs_channel)

    def hands(self, version: int = 1, **more: str) -> Hands:
        return Hands(self.pfs_channel, self.jobs_channel, self.token, self.name, version, **more)

    def create(self, **spec: object) -> str:
        """Make the pipeline, or another version of it; the id of its first job, which has no datums yet."""
        tree = {"pfs": {"name": "in", "repo": self.source, "glob": "/*"}}
        full = {
            "pipeline": {"name": self.name},
            "input": tree,
            "transform": {"cmd": ["true"]},
            "datumSetSpec": {"number": 100},
            **spec,
        }
        update = bool(full.pop("update", False))
        request = pps.CreatePipelineV2Request(create_pipeline_request_json=json.dumps(full), update=update)
        self.pipelines.CreatePipelineV2(request)
        return self.head()

    def head(self) -> str:
        branch = pfs.Branch(repo=repo(self.name), name="master")
        found: pfs.CommitInfo = self.files.InspectCommit(pfs.InspectCommitRequest(commit=pfs.Commit(branch=branch)))
        return found.commit.id

    def commit(self, changes: Mapping[str, bytes | None], error: str = "") -> str:
        """Write and delete files of the input in one commit; its id is that of the job."""
        branch = pfs.Branch(repo=repo(self.source), name="master")
        made = self.files.StartCommit(pfs.StartCommitRequest(branch=branch))

        def messages() -> Iterator[pfs.ModifyFileRequest]:
            yield pfs.ModifyFileRequest(set_commit=made)
            for path, data in changes.items():
                if data is None:
                    yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))
                else:
                    message = pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path))
                    message.add_file.raw.value = data
                    yield message

        self.files.ModifyFile(messages())
        self.files.FinishCommit(pfs.FinishCommitRequest(commit=made, error=error))
        id: str = made.id
        return id

    def inspect(self, id: str, *, wait: bool = False, details: bool = False) -> pps.JobInfo:
        request = pps.InspectJobRequest(job=job(self.name, id), wait=wait, details=details)
        info: pps.JobInfo = self.jobs.InspectJob(request, timeout=120)
        return info

    def ended(self, id: str) -> pps.JobInfo:
        return self.inspect(id, wait=True)

    def outputs(self, id: str, type: str = "user") -> list[str]:
        commit = pfs.Commit(repo=repo(self.name, type), id=id)
        found = self.files.GlobFile(pfs.GlobFileRequest(commit=commit, pattern="**"))
        return sorted(info.file.path for info in found if not info.file.path.endswith("/"))

    def datums(self, id: str, **more: object) -> dict[str, str]:
        """Path of the input to state."""
        request = pps.ListDatumRequest(job=job(self.name, id), **more)  # type: ignore[arg-type]  # named by tests
        found = self.jobs.ListDatum(request, timeout=120)
        return {info.data[0].file.path: pps.DatumState.Name(info.state) for info in found}

    def output_error(self, id: str, type: str = "user") -> str:
        commit = pfs.Commit(repo=repo(self.name, type), id=id)
        request = pfs.InspectCommitRequest(commit=commit, wait=pfs.CommitState.FINISHED)
        info: pfs.CommitInfo = self.files.InspectCommit(request, timeout=120)
        return info.error
