"""Why something failed: what the server knows about it, and where the rest of it can be read.

A change that makes its own commit is checked when that commit is finished, which is after the call that made it has
come back. So whoever writes through the command line waits for the end and hears of a refusal.
"""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from datamill import names
from datamill.cli.session import Unsuccessful
from datamill.client import Client
from datamill.errors import NotFound
from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps

FAILED_DATUM = re.compile(r"datum ([0-9a-f]{64}) failed")
LAST_LINES = 10


@contextmanager
def refusals_told(client: Client, commit: pfs.Commit) -> Iterator[None]:
    """Around a change to `commit`: raises Unsuccessful when it made a commit of its own that ended with an error."""
    if commit.id:
        yield
        return
    before = _head(client, commit)
    yield
    made = _head(client, commit)
    if made is None or not made.HasField("finishing"):
        return  # a commit that somebody has opened and will finish
    if made.parent_commit.id != ("" if before is None else before.commit.id):
        return  # others write here too, and which commit is ours cannot be told
    if error := client.wait_commit(made.commit).error:
        raise Unsuccessful(f"commit {names.shown_commit(made.commit)} was made and cannot be used: {error}")


def _head(client: Client, branch: pfs.Commit) -> pfs.CommitInfo | None:
    try:
        return client.inspect_commit(branch)
    except NotFound:
        return None


def way_on(reason: str, pipeline: str, id: str) -> str:
    """Where the cause of a failed job can be read. pipeline: as it is written; id: of the job."""
    found = FAILED_DATUM.search(reason)
    return f"; see why with `datamill inspect datum {pipeline}@{id} {found[1]}`" if found else ""


def of_datum(client: Client, info: pps.DatumInfo) -> list[tuple[str, str]]:
    """Fields that say why a datum failed: the worker's last word, and the last lines of the user's code."""
    if info.state != pps.DatumState.FAILED:
        return []
    told = ""
    printed: deque[str] = deque(maxlen=LAST_LINES)
    for line in client.logs(job=info.datum.job, datum=info.datum.id):
        if line.user:
            printed.append(line.message)
        else:
            told = line.message
    return [("Why", told), ("Last printed", "\n".join(printed))]
