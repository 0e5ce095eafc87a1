"""metadata.API: pairs of text on projects, repos, branches, commits, pipelines and the instance.

Those of a pipeline lie with its spec repo, which lives as long as it does; the service of pipelines shows them.
"""

from datamill.wire import metadata_pb2 as wire
from datamill.wire.metadata_pb2_grpc import APIServicer
from services.kit.errors import Invalid
from services.kit.rpc.server import Context
from services.kit.storage.database import Database
from services.kit.time.clock import Clock
from services.pfs.domain import metadata
from services.pfs.domain.errors import MissingField
from services.pfs.domain.metadata import Edit
from services.pfs.operations.refs.metadata import InstanceTarget, PipelineTarget, ProjectTarget, Target, edit_metadata
from services.pfs.servicers.wire import from_wire


class MetadataApi(APIServicer):
    """Writes pairs; they are read in the Info message of each thing."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def EditMetadata(self, request: wire.EditMetadataRequest, context: Context) -> wire.EditMetadataResponse:
        for at, edit in enumerate(request.edits):
            _check(edit, f"edits[{at}]")
        edits = [(_target(edit), _op(edit)) for edit in request.edits]
        await self._db.run(edit_metadata, edits, self._clock.now)
        return wire.EditMetadataResponse()


def _check(edit: wire.Edit, where: str) -> None:
    """What the protocol itself requires. Raises MissingField, Invalid."""
    for group in ("target", "op"):
        if edit.WhichOneof(group) is None:
            raise MissingField(f"{where}.{group}")
    op = edit.WhichOneof("op")
    assert op is not None
    keys = edit.replace.replacement.keys() if op == "replace" else [getattr(edit, op).key]
    if not all(keys):
        raise Invalid(f"validate request: {where}.{op}.key: value length must be at least 1 characters")


def _target(edit: wire.Edit) -> Target:
    """Raises Malformed."""
    match edit.WhichOneof("target"):
        case "project":
            return ProjectTarget(from_wire.picked_project(edit.project))
        case "repo":
            return from_wire.picked_repo(edit.repo)
        case "branch":
            return from_wire.picked_branch(edit.branch)
        case "commit":
            return from_wire.picked_commit(edit.commit)
        case "pipeline":
            return PipelineTarget(from_wire.picked_pipeline(edit.pipeline))
    return InstanceTarget()


def _op(edit: wire.Edit) -> Edit:
    match edit.WhichOneof("op"):
        case "replace":
            return metadata.replacing(dict(edit.replace.replacement))
        case "add_key":
            return metadata.adding(edit.add_key.key, edit.add_key.value)
        case "edit_key":
            return metadata.setting(edit.edit_key.key, edit.edit_key.value)
    return metadata.removing(edit.delete_key.key)
