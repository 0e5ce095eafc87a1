"""What a start of each program imports: a count that holds what was won, for imports are most of a start.

Each in a process of its own, since other tests import what they like.
"""

import json
import subprocess
import sys

import pytest

from services.kit.storage.tables import tables_of
from tests.support.servers import ROOT

HEAVY = {"alembic", "mako", "minio", "urllib3", "Crypto", "docker", "psycopg", "opentelemetry.sdk", "requests"}
LOOK = """
import importlib, json, sys
program = importlib.import_module(sys.argv[1])
tables = sorted(program.Base.metadata.tables) if hasattr(program, "Base") else []
print(json.dumps({"modules": sorted(sys.modules), "tables": tables}))
"""


def loaded(program: str) -> dict[str, list[str]]:
    command = [sys.executable, "-c", LOOK, program]
    found: dict[str, list[str]] = json.loads(
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    )
    return found


@pytest.mark.parametrize("service", ["pfs", "pps", "jobs"])
def test_a_service_loads_what_every_start_needs_and_knows_all_its_tables(service: str) -> None:
    """A new database gets the tables that the process knows: it must have loaded every module that has one."""
    found = loaded(f"services.{service}.__main__")
    assert HEAVY.isdisjoint(found["modules"])
    assert found["tables"] == sorted(tables_of(f"services.{service}.storage").tables)


@pytest.mark.parametrize(
    "program", ["services.worker.__main__", "deploy.local.running.supervisor", "datamill.cli.main"]
)
def test_small_programs_stay_small(program: str) -> None:
    small = {*HEAVY, "sqlalchemy", "nats", "aiohttp"}
    assert small.isdisjoint(loaded(program)["modules"])
