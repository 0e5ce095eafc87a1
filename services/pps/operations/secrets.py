"""Making, looking up and handing out secrets. Each method is one transaction, or a read of one snapshot.

Elsewhere: documents and what a spec wants of secrets (domain/secrets.py); sealing (storage/sealing.py).
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from services.kit.storage.database import Database
from services.kit.storage.outbox import Outbox
from services.kit.time.clock import Clock
from services.pps.domain import secrets as domain
from services.pps.domain.errors import BadSecret, PipelineNotFound, SecretExists, SecretNotFound, SecretUnusable
from services.pps.domain.names import PipelineKey
from services.pps.domain.secrets import Secret, SecretFacts
from services.pps.storage.pipelines import PipelineStore
from services.pps.storage.sealing import CannotOpen, Keyring
from services.pps.storage.secrets import SecretStore, facts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InUse:
    """How the secrets of a pipeline are. revision: another one whenever a secret was made anew; trouble: or why not."""

    revision: str = ""
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """All secrets of the instance."""

    db: Database
    ring: Keyring
    clock: Clock

    async def create(self, document: bytes) -> None:
        """Raises BadSecret, SecretExists."""
        secret = domain.parse(document)
        await self.db.run(self._create, secret)

    def _create(self, tx: Session, secret: Secret) -> None:
        store = SecretStore(tx, self.ring)
        if store.row(secret.name) is not None:
            raise SecretExists(secret.name)
        store.add(secret, now=self.clock.now())
        self._tell(tx, "created", secret.name)

    async def inspect(self, name: str) -> SecretFacts:
        """Raises SecretNotFound."""
        row = await self.db.read(lambda tx: SecretStore(tx, self.ring).row(name))
        if row is None:
            raise SecretNotFound("get", name)
        return facts(row)

    async def listing(self) -> list[SecretFacts]:
        return await self.db.read(lambda tx: SecretStore(tx, self.ring).facts())

    async def delete(self, name: str) -> None:
        """Raises SecretNotFound."""
        await self.db.run(self._delete, name)

    def _delete(self, tx: Session, name: str) -> None:
        store = SecretStore(tx, self.ring)
        row = store.row(name)
        if row is None:
            raise SecretNotFound("delete", name)
        store.remove(row)
        self._tell(tx, "deleted", name)

    def _tell(self, tx: Session, what: str, name: str) -> None:
        Outbox(tx).add(f"pps.secret.{what}", name, at=self.clock.now(), facts={"name": name})

    async def check(self, spec: Mapping[str, Any]) -> None:
        """Whether a new pipeline's transform has all secrets that it wants. Raises BadSpec."""
        wanted = domain.mounts(spec)
        if wanted:
            have = await self.db.read(self._opened, {one.name for one in wanted})
            domain.check(wanted, have)

    async def in_use(self, spec: Mapping[str, Any]) -> InUse:
        """How the secrets of a running pipeline's transform are."""
        wanted = domain.mounts(spec)
        if not wanted:
            return InUse()
        return await self.db.read(self._in_use, wanted)

    def _in_use(self, tx: Session, wanted: list[domain.Mount]) -> InUse:
        names = {one.name for one in wanted}
        try:
            have = self._opened(tx, names)
        except SecretUnusable as trouble:
            return InUse(trouble=str(trouble))
        for complaint in domain.complaints(wanted, have):
            return InUse(trouble=complaint)
        rows = SecretStore(tx, self.ring).rows(names)
        return InUse(revision=" ".join(rows[name].token for name in sorted(rows)))

    def _opened(self, tx: Session, names: Iterable[str]) -> dict[str, dict[str, bytes]]:
        """Those that there are. Raises SecretUnusable."""
        store, opened = SecretStore(tx, self.ring), dict[str, dict[str, bytes]]()
        for name, row in sorted(store.rows(names).items()):
            try:
                opened[name] = store.values(row)
            except CannotOpen as error:
                raise SecretUnusable(f"secret {name} cannot be used: {error}") from error
        return opened

    async def of_version(
        self, key: PipelineKey, number: int, names: Iterable[str] = ()
    ) -> Mapping[str, Mapping[str, bytes]]:
        """Values of secrets that a version names: those asked for, or its transform's.

        Raises PipelineNotFound, BadSecret, SecretUnusable.
        """
        return await self.db.read(self._of_version, key, number, set(names))

    def _of_version(self, tx: Session, key: PipelineKey, number: int, asked: set[str]) -> dict[str, dict[str, bytes]]:
        version = PipelineStore(tx).version(key, number)
        if version is None:
            raise PipelineNotFound(key)
        wanted = asked or {one.name for one in domain.mounts(version.spec)}
        if strange := wanted - domain.named(version.spec):
            raise BadSecret(f"pipeline {key} does not refer to secret {min(strange)}")
        opened = self._opened(tx, wanted)
        if missing := wanted - opened.keys():
            raise SecretUnusable(f"missing Kubernetes secret {min(missing)}")
        return opened

    async def seal_anew(self) -> None:
        """Bring what an older key has sealed under the newest one; what cannot be opened is left as it is."""
        try:
            if count := await self.db.run(lambda tx: SecretStore(tx, self.ring).seal_anew()):
                log.info("%d secrets were sealed anew, with the newest key", count)
        except CannotOpen as error:
            log.error("a secret cannot be opened: %s; see services/pps/README.md on keys", error)
