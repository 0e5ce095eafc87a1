"""Writing files of a view to where an address says: each becomes an object named by its path.

Elsewhere: which files (operations/files/read.py); kinds of addresses (kit/urls).
"""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from services.kit.urls.port import Target, while_wanted
from services.pfs.domain.files.entries import Content
from services.pfs.operations.files.contents import file_bytes
from services.pfs.operations.files.read import Reading
from services.pfs.operations.files.stores import Stores
from services.pfs.operations.files.visits import Visit

AT_A_TIME = 4  # each holds a read's span and a part of an upload


def export(stores: Stores, reading: Reading, visits: Iterable[Visit], target: Target, stopped: Event) -> int:
    """Write every file among `visits`; says how many bytes that were. Blocks until done or `stopped` is set.

    Raises DeliveryFailed, Corrupt.
    """
    written = 0
    running: deque[Future[int]] = deque()

    def one(name: str, content: Content) -> int:
        target.put(name, content.size, while_wanted(stopped, file_bytes(stores, content)))
        return content.size

    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="export") as pool:
        try:
            for path, row in while_wanted(stopped, visits):
                if row is None:
                    continue
                running.append(pool.submit(one, path.decode().lstrip("/"), reading.view.content(row)))
                if len(running) > 2 * AT_A_TIME:
                    written += running.popleft().result()
            while running:
                written += running.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return written
