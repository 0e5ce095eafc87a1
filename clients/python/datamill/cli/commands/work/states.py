"""States as they are said on the command line, and lists that show only some of them."""

from typing import Any

import click

from datamill.wire import pps_v2_pb2 as pps

KINDS: dict[str, Any] = {"JOB_": pps.JobState, "PIPELINE_": pps.PipelineState}


def filter_of(said: tuple[str, ...], prefix: str) -> str:
    """The jq program that keeps what is in one of the states; "" for all of them. prefix: JOB_ or PIPELINE_."""
    return " or ".join(f'.state == "{prefix}{_named(one, prefix)}"' for one in said)


def datum_states(said: tuple[str, ...]) -> "list[pps.DatumState.ValueType]":
    """The states of datums that were said."""
    known = [name for name in pps.DatumState.DESCRIPTOR.values_by_name if name != "UNKNOWN"]
    return [pps.DatumState.Value(_one_of(one.upper(), known, one)) for one in said]


def _named(said: str, prefix: str) -> str:
    known = [
        name.removeprefix(prefix) for name in KINDS[prefix].DESCRIPTOR.values_by_name if not name.endswith("_UNKNOWN")
    ]
    return _one_of(said.upper().removeprefix(prefix), known, said)


def _one_of(name: str, known: list[str], said: str) -> str:
    if name not in known:
        raise click.UsageError(f"{said!r} is no state; there are {', '.join(one.lower() for one in known)}")
    return name
