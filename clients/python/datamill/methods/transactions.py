"""Transactions: changes that are collected and take effect together, and the pairs of text that hang on things.

Decided here: which transaction the calls of a thread belong to, and how one that is opened by a `with` block ends.
Elsewhere: which methods can take part (the server knows); how its id travels (transport.py).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from datamill.errors import DatamillError
from datamill.transport import Calls
from datamill.wire import metadata_pb2 as metadata
from datamill.wire import transaction_v2_pb2 as wire


class Transactions(Calls):
    """Methods about transactions and metadata.

    Repos and branches can be made and deleted in one, commits started, finished and squashed, pipelines made and
    updated, jobs stopped. Everything else happens at once, also in a transaction; files are refused there.
    """

    @contextmanager
    def transaction(self) -> Iterator[str]:
        """Collect what this thread changes in the block, and let it take effect at the block's end, all or nothing.

        Yields the transaction's id, which all commits made in it get. When the block raises, nothing takes effect. A
        block inside another is a transaction of its own.  Raises what an addition, or the end, is refused with.
        """
        outer, id = self.joined, self.start_transaction()
        try:
            self.joined = id
            yield id
        except BaseException:
            self.joined = outer
            with suppress(DatamillError):
                self.delete_transaction(id)
            raise
        self.joined = outer
        try:
            self.finish_transaction(id)
        except DatamillError:
            with suppress(DatamillError):  # it could only be finished by hand now, and nobody has its id
                self.delete_transaction(id)
            raise

    def start_transaction(self) -> str:
        """Open one and return its id. Calls join it while `joined` is that id."""
        return self.call(self.transactions.StartTransaction, wire.StartTransactionRequest()).id

    def finish_transaction(self, id: str) -> wire.TransactionInfo:
        """Let everything take effect. When that is refused nothing has, and the transaction can be finished later."""
        request = wire.FinishTransactionRequest(transaction=wire.Transaction(id=id))
        return self.call(self.transactions.FinishTransaction, request)

    def inspect_transaction(self, id: str) -> wire.TransactionInfo:
        """Raises NotFound."""
        request = wire.InspectTransactionRequest(transaction=wire.Transaction(id=id))
        return self.call(self.transactions.InspectTransaction, request)

    def list_transactions(self) -> Iterator[wire.TransactionInfo]:
        """Those that are open, oldest first."""
        yield from self.call(self.transactions.ListTransaction, wire.ListTransactionRequest()).transaction_info

    def delete_transaction(self, id: str) -> None:
        """Forget one: nothing takes effect. Raises NotFound."""
        request = wire.DeleteTransactionRequest(transaction=wire.Transaction(id=id))
        self.call(self.transactions.DeleteTransaction, request)

    def batch_transaction(self, requests: Iterable[wire.TransactionRequest]) -> wire.TransactionInfo:
        """Several requests at once, all or none."""
        return self.call(self.transactions.BatchTransaction, wire.BatchTransactionRequest(requests=requests))

    def edit_metadata(self, edits: Iterable[metadata.Edit]) -> None:
        """Change the pairs of text on things, all or none. Raises Refused when a new key is there already."""
        self.call(self.metadata.EditMetadata, metadata.EditMetadataRequest(edits=edits))
