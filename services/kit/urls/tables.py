"""Databases that callers name as targets: tables of theirs emptied and filled in one transaction.

  postgres postgresql   mysql   snowflake       scheme://user@host:port/database?sslmode=…
The password is the operator's (PASSWORD in the environment) unless the address holds one. Values go as text, so that
the database itself reads them by the types of its columns. A scheme whose driver is not installed is refused by name.
Elsewhere: which hosts may be named (rules.py).
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, column, create_engine, delete, insert, inspect, table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from services.kit.errors import Problem, Unsupported
from services.kit.urls.port import CONNECT_SECONDS, BadUrl, DeliveryFailed, UrlRefused
from services.kit.urls.rules import Rules

PASSWORD = "PACHYDERM_SQL_PASSWORD"
DRIVERS = {
    "postgres": ("postgresql+psycopg", "psycopg"),
    "postgresql": ("postgresql+psycopg", "psycopg"),
    "mysql": ("mysql+pymysql", "pymysql"),
    "snowflake": ("snowflake", "snowflake-sqlalchemy"),
}
# Other options name files of this machine, or another host than the one that was looked at.
OPTIONS = frozenset({"sslmode", "application_name", "charset", "warehouse", "role", "account", "schema", "database"})
_TIMEOUTS = {"postgresql": "connect_timeout", "mysql": "connect_timeout", "snowflake": "login_timeout"}


class NoPassword(Problem):
    def __init__(self) -> None:
        super().__init__(f"must set {PASSWORD}")


class NoSqlDriver(Unsupported):
    def __init__(self, scheme: str, package: str) -> None:
        super().__init__(f"this server has no driver for {scheme} databases: {package} is not installed there")


@dataclass(frozen=True)
class SqlDatabase:
    """A database. Make it with `at`."""

    url: URL
    said: str
    """The address as refusals show it: without a password."""
    rules: Rules

    @classmethod
    def at(cls, text: str, rules: Rules, environ: Mapping[str, str]) -> "SqlDatabase":
        """Raises BadUrl, UrlRefused, NoPassword, NoSqlDriver."""
        try:
            url = make_url(text)
        except (ArgumentError, ValueError) as error:
            raise BadUrl(text.partition("@")[2] or text, "a database is written postgres://user@host/name") from error
        said = url._replace(password=None).render_as_string()
        if url.drivername not in DRIVERS:
            raise BadUrl(said, f"there are {', '.join(sorted(DRIVERS))}")
        for option in url.query:
            if option not in OPTIONS:
                raise BadUrl(said, f"the option {option} is not taken; there are {', '.join(sorted(OPTIONS))}")
        if not url.host:
            raise BadUrl(said, "it names no host")
        rules.check_host(url.host, said)
        found = cls(url, said, rules)
        found._engine().dispose()  # whether there is a driver is known before anything is written
        if url.password is not None:
            return found
        if PASSWORD not in environ:
            raise NoPassword()
        return replace(found, url=url.set(password=environ[PASSWORD]))

    @contextmanager
    def transaction(self) -> "Iterator[Tables]":
        """One transaction, committed when the block ends well. Blocks. Raises DeliveryFailed, UrlRefused."""
        engine = self._engine()
        try:
            self._check_peers()
            with engine.begin() as connection:
                yield Tables(connection, self.said)
        except DBAPIError as error:
            raise DeliveryFailed(self.said, str(error.orig).strip().partition("\n")[0]) from error
        except SQLAlchemyError as error:
            raise DeliveryFailed(self.said, str(error).partition("\n")[0]) from error
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        name, package = DRIVERS[self.url.drivername]
        waits = {_TIMEOUTS[name.partition("+")[0]]: int(CONNECT_SECONDS)}
        try:
            return create_engine(self.url.set(drivername=name), poolclass=NullPool, connect_args=waits)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise NoSqlDriver(self.url.drivername, package) from error

    def _check_peers(self) -> None:
        host = self.url.host or ""
        if self.url.drivername == "snowflake":
            return  # the host is an account's name
        try:
            found = socket.getaddrinfo(host, self.url.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise DeliveryFailed(self.said, error.strerror or error) from error
        for *_, address in found:
            if not isinstance(address[0], str):
                raise UrlRefused(self.said, "its address cannot be told")
            self.rules.check_peer(host, address[0], self.said)


@dataclass(frozen=True)
class Tables:
    """Tables, "name" or "schema.name", inside a transaction."""

    connection: Connection
    said: str
    _columns: dict[str, list[str]] = field(default_factory=dict)

    def columns(self, name: str) -> list[str]:
        """Raises DeliveryFailed when there is no such table."""
        if name not in self._columns:
            schema, plain = _parts(name)
            try:
                found = inspect(self.connection).get_columns(plain, schema=schema)
            except NoSuchTableError as error:
                raise DeliveryFailed(self.said, f"there is no table {name}") from error
            self._columns[name] = [each["name"] for each in found]
        return self._columns[name]

    def empty(self, name: str) -> None:
        self.columns(name)
        schema, plain = _parts(name)
        self.connection.execute(delete(table(plain, schema=schema)))

    def insert(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | bool | None]]) -> None:
        missing = [each for each in columns if each not in self.columns(name)]
        if missing:
            raise DeliveryFailed(self.said, f"the table {name} has no column {missing[0]!r}")
        schema, plain = _parts(name)
        into = insert(table(plain, *map(column, columns), schema=schema))
        places: dict[str, Any] = {each: bindparam(f"p{number}") for number, each in enumerate(columns)}
        values = [{f"p{number}": value for number, value in enumerate(row)} for row in rows]
        self.connection.execute(into.values(places), values)


def _parts(name: str) -> tuple[str | None, str]:
    schema, dot, plain = name.partition(".")
    return (schema, plain) if dot else (None, name)
