"""Rows of secrets, inside the caller's transaction."""

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.pps.domain.secrets import Secret, SecretFacts
from services.pps.storage.sealing import Keyring
from services.pps.storage.tables import SecretRow


@dataclass(frozen=True)
class SecretStore:
    """Never commits."""

    tx: Session
    ring: Keyring

    def row(self, name: str) -> SecretRow | None:
        return self.tx.get(SecretRow, name)

    def add(self, secret: Secret, *, now: datetime) -> None:
        values = {key: base64.b64encode(value).decode() for key, value in secret.values.items()}
        sealed = self.ring.seal(secret.name, json.dumps(values).encode())
        self.tx.add(
            SecretRow(
                name=secret.name, type=secret.type, labels_json=json.dumps(dict(secret.labels)), sealed=sealed,
                token=secrets.token_hex(8), created_at=now,
            )
        )  # fmt: skip

    def remove(self, row: SecretRow) -> None:
        self.tx.delete(row)

    def facts(self) -> list[SecretFacts]:
        """All of them, by name."""
        rows = self.tx.scalars(select(SecretRow).order_by(SecretRow.name))
        return [facts(row) for row in rows]

    def rows(self, names: Iterable[str]) -> Mapping[str, SecretRow]:
        found = self.tx.scalars(select(SecretRow).where(SecretRow.name.in_(sorted(names))))
        return {row.name: row for row in found}

    def values(self, row: SecretRow) -> dict[str, bytes]:
        """Raises CannotOpen."""
        opened = json.loads(self.ring.open(row.name, row.sealed))
        return {key: base64.b64decode(value) for key, value in opened.items()}

    def seal_anew(self) -> int:
        """Seal with the newest key whatever another one has sealed; how many were. Raises CannotOpen."""
        old = [row for row in self.tx.scalars(select(SecretRow)) if not self.ring.is_newest(row.sealed)]
        for row in old:
            row.sealed = self.ring.seal(row.name, self.ring.open(row.name, row.sealed))
        return len(old)


def facts(row: SecretRow) -> SecretFacts:
    """What of a row anybody may know."""
    return SecretFacts(row.name, row.type, row.created_at)
