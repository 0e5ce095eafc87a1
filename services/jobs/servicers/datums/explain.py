"""datamill.explain.v1: why a datum ran or did not, and what a job waits for.

Elsewhere: where the answers come from (operations/explaining), and their sentences (domain/explaining.py).
"""

from datamill.wire import explain_v1_pb2 as explain
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.explain_v1_pb2_grpc import ExplainServiceServicer
from services.jobs.domain.errors import BadRequest, JobNotFound
from services.jobs.domain.explaining import Explained, Reason, Wait, sentence_of, why_sentence
from services.jobs.domain.jobs import Job
from services.jobs.operations.explaining.datums import explain_datum
from services.jobs.operations.explaining.jobs import Looking
from services.jobs.servicers import from_wire, to_wire
from services.jobs.servicers.jobs import Parts
from services.kit.rpc.server import Context

DATUM_ID_BYTES = 32


class ExplainService(ExplainServiceServicer):
    """For users."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts

    async def ExplainDatum(
        self, request: explain.ExplainDatumRequest, context: Context
    ) -> explain.ExplainDatumResponse:
        job = await self._job(request)
        return _explained(await explain_datum(self._p.tools, job, _id(request.datum_id)), job)

    async def WhyJob(self, request: explain.WhyJobRequest, context: Context) -> explain.WhyJobResponse:
        job = await self._job(request)
        waits = await Looking(self._p.tools, self._p.pps).waits(job)
        return explain.WhyJobResponse(
            job=to_wire.job(job.key),
            state=pps.JobState.ValueType(job.state),  # the numbers are the protocol's
            waits=map(_wait, waits),
            sentence=why_sentence(job, waits, self._p.tools.clock.now()),
        )

    async def _job(self, request: explain.ExplainDatumRequest | explain.WhyJobRequest) -> Job:
        key = from_wire.job(request.job)
        job = await self._p.creator.ensure(key)
        if job is None:
            raise JobNotFound(key)
        return job


def _id(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != DATUM_ID_BYTES:
        raise BadRequest(f'"{text}" is no datum id: these have 64 hex digits')
    return raw


def _explained(found: Explained, job: Job) -> explain.ExplainDatumResponse:
    answer = explain.ExplainDatumResponse(
        job=to_wire.job(job.key),
        datum_id=found.id,
        outcome=int(found.outcome),  # type: ignore[arg-type]  # the numbers are the protocol's
        reasons=map(_reason, found.reasons),
        failure=found.failure,
        worker=found.worker,
        sentence=sentence_of(found),
    )
    if found.base is not None:
        answer.base_job.CopyFrom(to_wire.job(found.base))
    if found.ran_in is not None:
        answer.ran_in.CopyFrom(to_wire.job(found.ran_in))
    return answer


def _reason(reason: Reason) -> explain.DatumReason:
    return explain.DatumReason(
        kind=int(reason.why),  # type: ignore[arg-type]  # the numbers are the protocol's
        input=reason.file.leaf.name if reason.file else "",
        path=reason.file.path if reason.file else "",
        digest_before=reason.before,
        digest_now=reason.now,
    )


def _wait(wait: Wait) -> explain.JobWait:
    answer = explain.JobWait(
        kind=int(wait.what),  # type: ignore[arg-type]  # the numbers are the protocol's
        worker=wait.worker,
        sets=wait.sets,
        datums=wait.datums,
        reason=wait.reason,
    )
    if wait.since is not None:
        answer.since.CopyFrom(to_wire.timestamp(wait.since))
    if wait.commit is not None:
        project, name, type, id = wait.commit
        answer.commit.CopyFrom(pfs.Commit(repo=to_wire.repo(project, name, type), id=id))
    if wait.job is not None:
        answer.job.CopyFrom(to_wire.job(wait.job.key))
        answer.job_state = int(wait.job.state)  # type: ignore[assignment]  # the numbers are the protocol's
    return answer
