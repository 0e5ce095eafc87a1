"""A worker: leases sets of datums from Jobs, runs user code over them, hands in what it wrote.

Started by a runtime of PPS inside the sandbox of the user's code. The one place that knows every concrete class.
Exit status: 0 told to stop, 1 a bug, 2 bad settings, 78 a spec that cannot run here (reported to Jobs first).
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import work_v1_pb2 as work
from services.kit import config
from services.worker.activity import Activity
from services.worker.api import WorkerApi
from services.worker.batching.asked import AskedInTurn
from services.worker.datums.bench import Bench
from services.worker.inputs import pipes
from services.worker.inputs.scratch import Scratch
from services.worker.inputs.sources import Store
from services.worker.logs import log_to_stderr
from services.worker.peers.calls import Patience, Peers, Trouble, in_words, persist
from services.worker.peers.lease import LeaseKeeper
from services.worker.peers.secrets import fetched
from services.worker.process import environment
from services.worker.process.ending import adopt_orphans, keep_to_oneself
from services.worker.process.interrupt import Interrupt
from services.worker.process.starting import ignore_for_oneself
from services.worker.serving.server import Server
from services.worker.sets import SetRunner
from services.worker.settings import Settings
from services.worker.spec import BadSpec, WorkerSpec, read_spec
from services.worker.standing.services import Forwarder
from services.worker.standing.spouts import Spout
from services.worker.telemetry.exporter import Exporter

log = logging.getLogger(__name__)
BAD_SPEC_STATUS = 78
REPORT_SECONDS = 30.0
DRAIN_SECONDS = 20.0
GC_OBJECTS = 50_000  # made between looks for garbage: a set makes many, and hardly any that do not die by themselves


def main() -> int:
    try:
        settings = config.read(Settings, prefix="WORKER_", environ=os.environ)
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    log_to_stderr(settings.name, settings.log_level)
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # children only exec; read when the first channel is made
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    ignore_for_oneself()
    keep_to_oneself()
    peers = Peers(pfs=settings.pfs, jobs=settings.jobs, token=_token(settings))
    try:
        spec = read_spec(settings.spec, workdir=settings.workdir)
    except BadSpec as mistake:
        return _report(peers, settings, str(mistake))
    gc.freeze()
    gc.set_threshold(GC_OBJECTS)
    return Worker(settings, spec, peers).run(told)


def _token(settings: Settings) -> str:
    """From a file that is gone afterwards: an environment can be read in /proc by user code of the same user."""
    if not settings.token_file:
        return settings.service_token
    with open(settings.token_file, encoding="utf-8") as file:
        token = file.read()
    os.unlink(settings.token_file)
    return token


def _report(peers: Peers, settings: Settings, mistake: str) -> int:
    log.error("this pipeline cannot run here: %s", mistake)
    info = pps.PipelineInfo.FromString(settings.spec.read_bytes())
    request = work.ReportActivityRequest(worker=settings.name, pipeline=info.pipeline, fatal=mistake)
    try:
        persist(
            lambda: peers.ask(peers.work.ReportActivity, request),
            Patience(REPORT_SECONDS, threading.Event()),
            what="cannot report",
        )
    except Trouble as trouble:
        log.warning("the mistake could not be reported: %s", trouble)
    print(mistake, file=sys.stderr)  # the runtime shows a dead worker's last line
    return BAD_SPEC_STATUS


class Worker:
    """Everything of one worker, wired up."""

    def __init__(self, settings: Settings, spec: WorkerSpec, peers: Peers) -> None:
        self._settings = settings
        self._spec = spec
        self._peers = peers
        self._incarnation = f"{time.time_ns():016x}{os.urandom(8).hex()}"  # in the order of starts
        self._stopping = threading.Event()
        self._failed = False
        self._interrupt = Interrupt()
        self._activity = Activity(self._interrupt)
        self._asked = AskedInTurn()
        self._spout: Spout | None = None
        api = WorkerApi(settings.name, self._activity, self._asked if spec.batching else None)
        self._server = Server(settings.listen, api.handlers())
        self._cancel_lease: Callable[[], object] = lambda: None

    def run(self, told: threading.Event) -> int:
        adopt_orphans()
        self._server.start()
        working = threading.Thread(target=self._work, args=(self._server.port, told), name="work", daemon=True)
        working.start()
        log.info("serving on 127.0.0.1:%d", self._server.port)
        told.wait()
        self._stopping.set()
        self._cancel_lease()
        self._interrupt.lose("the worker is stopping")
        working.join(DRAIN_SECONDS)
        self._server.stop()
        self._peers.close()
        return int(self._failed)

    def _work(self, port: int, stop: threading.Event) -> None:
        try:
            runner, exporter = self._set_up(port)
            try:
                if self._spout is not None:
                    self._spout.run()
                while not self._stopping.is_set():
                    datum_set = self._lease()
                    if datum_set is not None:
                        runner.run(datum_set)
            finally:
                exporter.close(2.0)
        except OSError as error:  # the runtime shows what a dead worker said last, and starts it again
            log.error("the worker cannot work here now: %s", in_words(error))
            self._failed = True
            stop.set()
        except Exception:
            log.exception("the worker failed")
            self._failed = True
            stop.set()

    def _set_up(self, port: int) -> tuple[SetRunner, Exporter]:
        settings, spec = self._settings, self._spec
        scratch = Scratch(
            settings.pfs_root,
            run_as=spec.run_as,
            memory_bytes=settings.memory_bytes,
            out_in_memory=spec.memory_volume,
            most_pipes=pipes.make_room() if any(each.lazy for each in spec.inputs.values()) else 0,
        )
        for name, lines in (("stdin", spec.stdin), ("err_stdin", spec.err_stdin)):
            with open(scratch.spool(name), "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write("".join(f"{line}\n" for line in lines))
        resource = {
            "service.name": "worker",
            "datamill.project": spec.project,
            "datamill.pipeline": spec.pipeline,
            "datamill.worker": settings.name,
        }
        secrets = fetched(spec, settings.pps, self._peers.metadata)
        exporter = Exporter(self._peers, resource, secrets.strike)
        bench = Bench(
            spec,
            scratch,
            exporter,
            self._interrupt,
            self._activity,
            {**environment.base(os.environ, spec, worker=settings.name, port=port), **secrets.variables},
            settings.log_limit_bytes,
        )
        external, internal = spec.ports
        if external and internal and external != internal:
            Forwarder(external, internal).start()
        if spec.spout:
            self._spout = Spout(bench, self._stopping)
        keeper = LeaseKeeper(
            self._peers,
            spec,
            worker=settings.name,
            incarnation=self._incarnation,
            interrupt=self._interrupt,
            activity=self._activity,
        )
        runner = SetRunner(
            bench,
            peers=self._peers,
            store=Store(self._peers),
            keeper=keeper,
            asked=self._asked,
            server=self._server,
            worker=settings.name,
            keep_trying=settings.keep_trying,
            stopping=self._stopping,
        )
        return runner, exporter

    def _lease(self) -> work.DatumSet | None:
        """The next set; None after a while without one. Waits out a Jobs that is away."""
        wait = Duration()
        wait.FromTimedelta(self._settings.lease_wait)
        request = work.LeaseSetRequest(
            pipeline=self._spec.wire_pipeline(),
            pipeline_version=self._spec.version,
            worker=self._settings.name,
            incarnation=self._incarnation,
            max_wait=wait,
        )
        patience = Patience(1e9, self._stopping)
        away = False
        while not self._stopping.is_set():
            try:
                answer = self._peers.wait_for_set(
                    request, self._settings.lease_wait.total_seconds() + 15, self._can_cancel
                )
            except Trouble as trouble:
                if not away:
                    log.warning("no work to be had now: %s", trouble)
                away = True
                patience.wait()
            else:
                return answer.set if answer.HasField("set") else None
        return None

    def _can_cancel(self, cancel: Callable[[], object]) -> None:
        self._cancel_lease = cancel
        if self._stopping.is_set():
            cancel()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # threads that wait for a service that is away must not hold the process up
