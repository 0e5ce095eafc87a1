"""auth_v2.API of an instance without access control: every method says so, in the sentence that clients look for."""

from typing import Any

import grpc

from datamill.wire import auth_v2_pb2 as auth
from services.kit.errors import Unsupported
from services.kit.rpc.server import Context


class AuthNotActivated(Unsupported):
    def __init__(self) -> None:
        super().__init__("the auth service is not activated")


async def _refuse(request: bytes, context: Context) -> bytes:
    raise AuthNotActivated()


def add_auth(server: grpc.aio.Server) -> None:
    """Answer every method of the service, whatever the request holds."""
    service = auth.DESCRIPTOR.services_by_name["API"]
    methods: dict[str, Any] = {method.name: grpc.unary_unary_rpc_method_handler(_refuse) for method in service.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, methods),))
