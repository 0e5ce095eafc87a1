"""Filling tables with the rows that a view's files hold, all in one transaction of the database.

The first name of a path is the table, with its schema where it has a dot; the table is there already, is emptied once,
and gets the rows of all files of that name. It blocks; memory does not depend on the length of files.
Elsewhere: reading rows (domain/files/records.py), databases (kit/urls/tables.py).
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from threading import Event

from services.kit.urls.port import while_wanted
from services.kit.urls.tables import SqlDatabase
from services.pfs.domain.files.records import Format, Value, rows, texts
from services.pfs.operations.files.contents import file_bytes
from services.pfs.operations.files.read import Reading
from services.pfs.operations.files.stores import Stores

ROWS_AT_A_TIME = 1000


def fill_tables(
    stores: Stores, reading: Reading, database: SqlDatabase, kind: Format, columns: Sequence[str], stopped: Event
) -> dict[str, int]:
    """How many rows each table has got. Raises BadRecord, DeliveryFailed, Corrupt.

    columns: those to fill, which CSV files name in a header; none for all of the table's, in its order.
    """
    written: dict[str, int] = {}
    with database.transaction() as tx:
        for path, row in reading.everything():
            if row is None:
                continue
            table = path.decode().split("/")[1]
            if table not in written:
                tx.empty(table)
                written[table] = 0
            wanted = list(columns) or tx.columns(table)
            text = texts(path.decode(), while_wanted(stopped, file_bytes(stores, reading.view.content(row))))
            for some in _batches(rows(path.decode(), kind, text, wanted, bool(columns))):
                tx.insert(table, wanted, some)
                written[table] += len(some)
    return written


def _batches(found: Iterator[list[Value]]) -> Iterator[list[list[Value]]]:
    while some := list(islice(found, ROWS_AT_A_TIME)):
        yield some
