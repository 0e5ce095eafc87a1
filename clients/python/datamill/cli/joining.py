"""The transaction that commands join: started or resumed by one, and remembered in a file until it is done.

A file in the data directory names it, for each server. Elsewhere: the commands about it (commands/transactions.py).
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datamill.client import Client
from datamill.errors import Invalid

FILE = "transactions.json"
COMMANDS = frozenset({
    "create repo", "update repo", "delete repo", "create branch", "delete branch", "start commit", "finish commit",
    "squash commit", "create pipeline", "update pipeline", "edit pipeline",
    "stop job",
})  # fmt: skip


def active(folder: Path, address: str) -> str:
    """The id of the active transaction, or ""."""
    return _read(folder).get(address, "")


def required(folder: Path, address: str) -> str:
    """Raises Invalid."""
    if not (id := active(folder, address)):
        raise Invalid("no active transaction")
    return id


def remember(folder: Path, address: str, id: str) -> None:
    """Make this the active one; "" for none."""
    known = {where: one for where, one in _read(folder).items() if where != address}
    if id:
        known[address] = id
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{FILE}.new"
    fresh.write_text(json.dumps(known), encoding="utf-8")
    fresh.replace(folder / FILE)


@contextmanager
def joined(client: Client, id: str) -> Iterator[None]:
    """Let the calls of the block join a transaction, and say so when they did. Raises NotFound."""
    before = client.inspect_transaction(id).version
    client.joined = id
    try:
        yield
    finally:
        client.joined = ""
    if client.inspect_transaction(id).version != before:
        sys.stderr.write(f"added to transaction {id}: it takes effect with `datamill finish transaction`\n")


def _read(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
