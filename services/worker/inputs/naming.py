"""A file set of all that a set's datums read, for user code that wants to read it without laying it out itself.

Made only where the transform's text says FILESET_ID: it costs a call or two before the first datum can run, and a few
bytes for each file; nobody else pays for it. No content moves, the files are named. Who keeps the lease keeps it, too.
"""

from datamill.wire import work_v1_pb2 as work
from services.worker.inputs.addresses import Addresses
from services.worker.inputs.resolving import Resolver
from services.worker.outputs.entries import Entries
from services.worker.peers.calls import Patience, Peers, persist


def name_inputs(
    datum_set: work.DatumSet, peers: Peers, addresses: Addresses, patience: Patience, *, folder: str
) -> str:
    """The id of a file set with each file at /pfs/<datum>/<its path>; empty when there are none. Raises Trouble."""

    def attempt() -> str:
        resolver, entries = Resolver(peers, addresses, datum_set.datums), Entries(folder)
        try:
            for index, datum in enumerate(datum_set.datums):
                for _, file in resolver.files(index):
                    entries.add(f"/pfs/{datum.id}{file.path}", datum.id, file.content)
            return entries.put(peers, patience).file_set_id if entries.count else ""
        finally:
            resolver.close()
            entries.close()

    return persist(attempt, patience, what="cannot name the inputs of a set")
