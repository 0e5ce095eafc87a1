"""What datums share: the worker's means, and the set they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from datamill.wire import work_v1_pb2 as work
from services.worker.activity import Activity
from services.worker.inputs.prefetch import Prefetch
from services.worker.inputs.scratch import Scratch
from services.worker.outputs.collecting import BadOutput
from services.worker.outputs.entries import Entries
from services.worker.outputs.meta import Documents
from services.worker.outputs.packing import Packing
from services.worker.process import environment
from services.worker.process.interrupt import Interrupt
from services.worker.spec import WorkerSpec
from services.worker.telemetry.exporter import Exporter
from services.worker.telemetry.spans import SpanId

NAMES_BYTES = 16 << 20  # of all outputs of a set: their names travel in one message


@dataclass(frozen=True)
class Bench:
    """What is the same for every datum of a worker."""

    spec: WorkerSpec
    scratch: Scratch
    exporter: Exporter
    interrupt: Interrupt
    activity: Activity
    base_env: Mapping[str, str]
    log_limit_bytes: int

    @cached_property
    def rendered_env(self) -> environment.Rendered:
        return environment.rendered(self.base_env.items())


@dataclass(slots=True)
class NameBudget:
    """How many bytes of output names a set may still hand in."""

    left: int = NAMES_BYTES

    def take(self, paths: list[str]) -> None:
        """Raises BadOutput when they do not fit."""
        size = sum(len(path) + 4 for path in paths)
        if size > self.left:
            raise BadOutput(
                f"the names of a datum set's output files take more than {NAMES_BYTES >> 20} MiB:"
                " write fewer files, or put fewer datums into a set (datum_set_spec)"
            )
        self.left -= size


@dataclass(frozen=True, slots=True)
class SetInHand:
    """What is the same for every datum of a set."""

    datum_set: work.DatumSet
    span: SpanId
    prefetch: Prefetch
    packing: Packing
    outputs: Entries
    meta: Entries
    documents: Documents
    names: NameBudget
    variables: Sequence[tuple[str, str]]  # what the set adds to a datum's environment
    env: environment.Rendered  # the same
