"""Which addresses callers may have this server read from and write to.

Whoever may call a server can make it open connections in its own name. So local files are closed but for folders that
the operator names, and the addresses at which clouds hand credentials to machines are closed but for hosts that the
operator names. Hosts and buckets are open until the operator names those that are. What is checked is the address a
connection was made to, after names were resolved and redirects followed; nothing has been sent on it by then.
"""

import ipaddress
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from services.kit.objects.address import Bucket, Folder
from services.kit.urls.port import UrlRefused

FOLDERS, HOSTS = "PFS_URL_FOLDERS", "PFS_URL_HOSTS"
_CREDENTIALS = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254")))


@dataclass(frozen=True)
class Rules:
    """folders: absolute; hosts: of hosts or "scheme://bucket", "*" stands for anything, none for every one."""

    folders: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()
    store: Folder | Bucket | None = None
    """The server's own store: nobody reads or writes it but through the server."""

    @classmethod
    def of(cls, folders: str, hosts: str, store: Folder | Bucket | None = None) -> "Rules":
        """From the settings: folders apart by ":", hosts by ",". Raises ValueError for one that is not absolute."""
        found = [Path(part.strip()) for part in folders.split(os.pathsep) if part.strip()]
        for folder in found:
            if not folder.is_absolute():
                raise ValueError(f"{FOLDERS}: {folder} is not absolute")
        names = (name.strip().lower() for name in hosts.split(",") if name.strip())
        return cls(tuple(folder.resolve() for folder in found), tuple(names), store)

    def check_host(self, host: str, url: str) -> None:
        """Raises UrlRefused."""
        if self.hosts and not self._named(host.lower()):
            raise UrlRefused(url, f"the host {host} is not among those that the operator allows ({HOSTS})")

    def check_bucket(self, scheme: str, endpoint: str, bucket: str, url: str) -> None:
        """Raises UrlRefused."""
        name = f"{scheme}://{bucket}".lower()
        if isinstance(self.store, Bucket) and (self.store.endpoint, self.store.name) == (endpoint, bucket):
            raise UrlRefused(url, "it is this server's own store")
        if self.hosts and not self._named(name):
            raise UrlRefused(url, f"the bucket {name} is not among those that the operator allows ({HOSTS})")

    def check_peer(self, host: str, address: str, url: str) -> None:
        """Hold the address that a connection was made to against the rules. Raises UrlRefused."""
        peer = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        if (peer.is_link_local or peer in _CREDENTIALS) and not (self.hosts and self._named(host.lower())):
            raise UrlRefused(url, f"{peer} is for this machine's own use unless the operator allows it ({HOSTS})")

    def inside(self, path: Path, url: str) -> Path:
        """The path with its links followed, when it lies in an allowed folder. Raises UrlRefused."""
        found = path.resolve()
        if isinstance(self.store, Folder) and (found == self.store.path or self.store.path in found.parents):
            raise UrlRefused(url, "it is this server's own store")
        if not any(found == folder or folder in found.parents for folder in self.folders):
            raise UrlRefused(
                url, f"it is in no folder whose files the operator allows to be read and written ({FOLDERS})"
            )
        return found

    def _named(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.hosts)
