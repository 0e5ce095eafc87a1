"""Jobs, datums and logs."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from datamill import names
from datamill.transport import Calls, patiently
from datamill.wire import explain_v1_pb2 as explain
from datamill.wire import logs_pb2
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import transaction_v2_pb2 as transaction

ENDED = frozenset({pps.JOB_SUCCESS, pps.JOB_FAILURE, pps.JOB_KILLED, pps.JOB_UNRUNNABLE})


class Jobs(Calls):
    """Methods about jobs. A job is `pipeline@ID`; jobs of one change share the ID of its commits."""

    def inspect_job(self, job: str | pps.Job, *, details: bool = False) -> pps.JobInfo:
        return self.call(self.pps.InspectJob, pps.InspectJobRequest(job=names.job(job), details=details))

    def wait_job(self, job: str | pps.Job) -> pps.JobInfo:
        """Wait until a job has ended, well or not: see its `state` and `reason`."""
        info = self.inspect_job(job)  # when nobody answers, say so now
        if info.state in ENDED:
            return info
        request = pps.InspectJobRequest(job=info.job, wait=True)
        return patiently(lambda: self.wait(self.pps.InspectJob, request))

    def list_jobs(
        self,
        *,
        pipeline: str | pps.Pipeline | None = None,
        projects: Iterable[str] = (),
        inputs: Iterable[str | pfs.Commit] = (),
        history: int = -1,
        number: int = 0,
        filter: str = "",
        details: bool = False,
    ) -> Iterator[pps.JobInfo]:
        """Jobs, newest first. inputs: only those that read all of these commits. number: at most so many, 0 for all.

        filter: a jq program, which keeps those for which it yields neither false nor null.
        """
        request = pps.ListJobRequest(
            pipeline=None if pipeline is None else names.pipeline(pipeline),
            projects=[names.project(name) for name in projects],
            input_commit=[names.commit(one) for one in inputs],
            history=history,
            number=number,
            jqFilter=filter,
            details=details,
        )
        return self.stream(self.pps.ListJob, request)

    def inspect_job_set(self, id: str, *, wait: bool = False, details: bool = False) -> Iterator[pps.JobInfo]:
        """The jobs of one change, inputs first. wait: each once it has ended."""
        request = pps.InspectJobSetRequest(job_set=pps.JobSet(id=id), wait=wait, details=details)
        return self.stream(self.pps.InspectJobSet, request)

    def list_job_sets(self, *, projects: Iterable[str] = (), number: int = 0) -> Iterator[pps.JobSetInfo]:
        chosen = [names.project(name) for name in projects]
        return self.stream(self.pps.ListJobSet, pps.ListJobSetRequest(projects=chosen, number=number))

    def stop_job(self, job: str | pps.Job, *, reason: str = "") -> None:
        self.call(self.pps.StopJob, pps.StopJobRequest(job=names.job(job), reason=reason))

    def stop_job_set(self, id: str, *, reason: str = "") -> None:
        """Stop every job of one change that has not ended, all or none: those first that read what others write."""
        running = [info.job for info in self.inspect_job_set(id) if info.state not in ENDED]
        stops = [pps.StopJobRequest(job=job, reason=reason) for job in reversed(running)]
        if self.joined:
            for stop in stops:
                self.call(self.pps.StopJob, stop)
        elif stops:
            batch = transaction.BatchTransactionRequest(
                requests=[transaction.TransactionRequest(stop_job=stop) for stop in stops]
            )
            self.call(self.transactions.BatchTransaction, batch)

    def delete_job(self, job: str | pps.Job) -> None:
        self.call(self.pps.DeleteJob, pps.DeleteJobRequest(job=names.job(job)))

    def list_datums(
        self,
        job: str | pps.Job | None = None,
        *,
        input: pps.Input | None = None,
        states: "Iterable[pps.DatumState.ValueType]" = (),
        number: int = 0,
    ) -> Iterator[pps.DatumInfo]:
        """The datums of a job, or those that an input would give. states: only in one of these; none for all."""
        chosen = None if job is None else names.job(job)
        kept = pps.ListDatumRequest.Filter(state=states)
        request = pps.ListDatumRequest(job=chosen, input=input, filter=kept, number=number)
        return self.stream(self.pps.ListDatum, request)

    def inspect_datum(self, job: str | pps.Job, id: str) -> pps.DatumInfo:
        request = pps.InspectDatumRequest(datum=pps.Datum(job=names.job(job), id=id))
        return self.call(self.pps.InspectDatum, request)

    def restart_datum(self, job: str | pps.Job, filters: Iterable[str] = ()) -> None:
        """Try the running datum again whose inputs match every filter (a path or a hash)."""
        request = pps.RestartDatumRequest(job=names.job(job), data_filters=list(filters))
        self.call(self.pps.RestartDatum, request)

    def explain_datum(self, job: str | pps.Job, id: str) -> explain.ExplainDatumResponse:
        """Why a datum ran in a job, was skipped or failed: `sentence` says it, `reasons` in parts."""
        request = explain.ExplainDatumRequest(job=names.job(job), datum_id=id)
        return self.call(self.explain.ExplainDatum, request)

    def why_job(self, job: str | pps.Job) -> explain.WhyJobResponse:
        """What a job is waiting for, and since when."""
        return self.call(self.explain.WhyJob, explain.WhyJobRequest(job=names.job(job)))

    def logs(
        self,
        *,
        pipeline: str | pps.Pipeline | None = None,
        job: str | pps.Job | None = None,
        datum: str = "",
        filters: Iterable[str] = (),
        master: bool = False,
        follow: bool = False,
        tail: int = 0,
        since: timedelta | None = None,
    ) -> Iterator[pps.LogMessage]:
        """Log lines, oldest first. follow: go on with new lines, without end. tail: only the last so many."""
        request = pps.GetLogsRequest(
            data_filters=list(filters), master=master, follow=follow, tail=tail, since=_duration(since)
        )
        if pipeline is not None:
            request.pipeline.CopyFrom(names.pipeline(pipeline))
        if job is not None:
            request.job.CopyFrom(names.job(job))
        if datum:
            request.datum.id = datum
            if job is not None:
                request.datum.job.CopyFrom(names.job(job))
        return self.stream(self.pps.GetLogs, request)

    def query_logs(
        self, query: logs_pb2.LogQuery, filter: logs_pb2.LogFilter | None = None, *, follow: bool = False
    ) -> Iterator[logs_pb2.LogMessage]:
        """Lines that a query asks for and a filter keeps, in the order of their times."""
        request = logs_pb2.GetLogsRequest(query=query, filter=filter, tail=follow)
        return (reply.log for reply in self.stream(self.log_lines.GetLogs, request))


def _duration(length: timedelta | None) -> Duration | None:
    if length is None:
        return None
    wanted = Duration()
    wanted.FromTimedelta(length)
    return wanted
