"""datamill.inputs.v1: input trees that somebody asks about and that are no pipeline's."""

from google.protobuf.json_format import ParseDict

from datamill.wire import inputs_v1_pb2 as wire
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.inputs_v1_pb2_grpc import InputServiceServicer
from services.kit.rpc.server import Context, require_service
from services.pps.domain.spec import input_rules, inputs
from services.pps.servicers.specs.reader import document_of


class InputService(InputServiceServicer):
    """For services only: every call needs the service token."""

    def __init__(self, *, token: str) -> None:
        self._token = token

    async def CompleteInput(self, request: wire.CompleteInputRequest, context: Context) -> wire.CompleteInputResponse:
        require_service(context, self._token)
        tree = inputs.with_defaults(document_of(request.input, "input"), None)
        input_rules.check(tree, None)
        return wire.CompleteInputResponse(input=ParseDict(tree, pps.Input()))
