"""Settings of a process, read once from the environment; every mistake is reported at once.

A service declares a frozen dataclass; field `database_url` with prefix "PFS_" is read from PFS_DATABASE_URL.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class ConfigError(Exception):
    """One or more settings are missing or unreadable; the text lists each with its variable."""


def read(kind: type[T], *, prefix: str, environ: Mapping[str, str]) -> T:
    """Build `kind` from the environment. Raises ConfigError that names every bad variable."""
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # T is bound to dataclasses by use
        variable = prefix + field.name.upper()
        raw = environ.get(variable)
        if raw is None:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                mistakes.append(f"{variable} is not set ({_describe(hints[field.name])})")
            continue
        try:
            values[field.name] = _parse(raw, hints[field.name])
        except ValueError as error:
            mistakes.append(f"{variable}={raw!r}: {error}")
    if mistakes:
        raise ConfigError("bad settings:\n  " + "\n  ".join(mistakes))
    return kind(**values)


def _describe(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint))


def _parse(raw: str, hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        return None if raw == "" else _parse(raw, inner[0])
    if hint is bool:
        if raw.lower() not in {"1", "0", "true", "false", "yes", "no"}:
            raise ValueError("expected true or false")
        return raw.lower() in {"1", "true", "yes"}
    if hint is timedelta:
        return timedelta(seconds=float(raw.removesuffix("s")))
    if hint in (int, float, str, Path):
        return hint(raw)
    raise ValueError(f"no way to read a {_describe(hint)} from text")
