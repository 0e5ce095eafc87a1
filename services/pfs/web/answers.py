"""Short answers: a sentence with the status that fits, the same sentence as by gRPC; and sending somebody elsewhere.

Elsewhere: long answers (streams.py); which status a problem has by gRPC (kit/rpc/server.py).
"""

from collections.abc import Mapping

from aiohttp.web import Response
from grpc import StatusCode

from services.kit.errors import Problem
from services.kit.rpc.server import STATUS

COMMON = {
    "Server": "datamill",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
RETRY_SECONDS = "5"
# Source: the table of google.rpc.Code; UNKNOWN is what this protocol says of requests that cannot be met as they are.
HTTP_STATUS = {
    StatusCode.UNKNOWN: 400,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.ABORTED: 409,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}


def sentence(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """A line of text."""
    return Response(status=status, text=text + "\n", headers={**COMMON, "Cache-Control": "no-store", **(headers or {})})


def of_problem(problem: Problem) -> Response:
    """What gRPC would have said."""
    status = status_of(problem)
    return sentence(status, str(problem), {"Retry-After": RETRY_SECONDS} if status == 503 else None)


def status_of(problem: Problem) -> int:
    """The HTTP status of a problem."""
    code = next(STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS)
    return HTTP_STATUS.get(code, 500)


def json(body: bytes) -> Response:
    """A document that programs read."""
    return Response(
        body=body, headers={**COMMON, "Cache-Control": "private, no-cache", "Content-Type": "application/json"}
    )


def moved(to: str, query: str) -> Response:
    """Look there for it, for now: what is a directory today may be a file tomorrow."""
    return sentence(
        302, f"see {to}", {"Location": f"{to}?{query}" if query else to, "Cache-Control": "private, no-cache"}
    )
