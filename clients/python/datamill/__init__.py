"""The client of datamill: `datamill.Client("grpc://localhost:30650")`. Generated stubs are in `datamill.wire`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamill.client import Client as Client
    from datamill.errors import DatamillError as DatamillError


def __getattr__(name: str) -> Any:
    """Load the client on first use only: servers import `datamill.wire` and nothing else of this package."""
    if name == "Client":
        from datamill.client import Client  # noqa: PLC0415

        return Client
    if name == "DatamillError":
        from datamill.errors import DatamillError  # noqa: PLC0415

        return DatamillError
    raise AttributeError(f"module 'datamill' has no attribute {name!r}")
