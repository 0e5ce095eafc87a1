"""Commands about transactions. While one is active, commands that can take part are added to it."""

import click

from datamill.cli import joining, verbs
from datamill.cli.output import Raw, emit, listing, one, when
from datamill.cli.session import RAW, Session, command, home
from datamill.errors import Invalid
from datamill.wire import transaction_v2_pb2 as wire


@command(verbs.start, "transaction")
def start_transaction(session: Session) -> None:
    """Collect what follows, until `finish transaction`; print the id."""
    if id := joining.active(home(), session.address):
        raise Invalid(f"transaction {id} is active: finish, delete or stop it first")
    id = session.client.start_transaction()
    joining.remember(home(), session.address, id)
    emit(id)


@command(verbs.stop, "transaction")
def stop_transaction(session: Session) -> None:
    """Let what follows happen at once again; the transaction stays on the server."""
    joining.required(home(), session.address)
    joining.remember(home(), session.address, "")


@command(verbs.resume, "transaction")
@click.argument("transaction")
def resume_transaction(session: Session, transaction: str) -> None:
    """Go on with a transaction that is on the server."""
    found = session.client.inspect_transaction(transaction)
    joining.remember(home(), session.address, found.transaction.id)


@command(verbs.finish, "transaction")
@click.argument("transaction", required=False)
def finish_transaction(session: Session, transaction: str | None) -> None:
    """Let everything collected take effect, all or nothing."""
    id = transaction or joining.required(home(), session.address)
    info = session.client.finish_transaction(id)
    _forget(session, info.transaction.id)
    count = len(info.requests)
    emit(f"finished transaction {info.transaction.id} with {count} request{'' if count == 1 else 's'}")


@command(verbs.delete, "transaction")
@click.argument("transaction", required=False)
def delete_transaction(session: Session, transaction: str | None) -> None:
    """Forget a transaction; nothing takes effect."""
    id = transaction or joining.required(home(), session.address)
    _forget(session, id)
    session.client.delete_transaction(id)


@command(verbs.inspect, "transaction")
@click.argument("transaction", required=False)
@RAW
def inspect_transaction(session: Session, transaction: str | None, raw: Raw) -> None:
    """Show a transaction and what it has collected."""
    id = transaction or joining.required(home(), session.address)
    one(session.client.inspect_transaction(id), _fields, raw=raw)


@command(verbs.list_, "transaction")
@RAW
def list_transaction(session: Session, raw: Raw) -> None:
    """List the transactions that are open."""
    listing(
        session.client.list_transactions(),
        ("TRANSACTION", "STARTED", "REQUESTS"),
        lambda info: (info.transaction.id, when(info.started), str(len(info.requests))),
        raw=raw,
    )


def _forget(session: Session, id: str) -> None:
    if joining.active(home(), session.address) == id.lower():
        joining.remember(home(), session.address, "")


def _fields(info: wire.TransactionInfo) -> list[tuple[str, str]]:
    requests = [
        field.name.removesuffix("_v2").replace("_", " ") for one in info.requests for field, _ in one.ListFields()
    ]
    return [
        ("Transaction", info.transaction.id),
        ("Started", when(info.started)),
        ("Requests", "\n".join(requests)),
    ]
