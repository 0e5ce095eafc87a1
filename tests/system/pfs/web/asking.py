"""Asking over HTTP: the path goes out as it is written, and nothing is followed."""

import http.client
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Site:
    """repo: the one whose files `file` asks for, of project default."""

    port: int
    repo: str

    def at(self, path: str, ref: str = "master") -> str:
        return f"/pfs/default/{self.repo}/{ref}{path}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """headers: with "_" for "-"."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=named)
            found = connection.getresponse()
            return Answer(found.status, found.headers, found.read())
        finally:
            connection.close()

    def file(self, path: str, ref: str = "master", method: str = "GET", **headers: str) -> Answer:
        return self.ask(self.at(path, ref), method, **headers)

    def browse(self, path: str, ref: str = "master") -> Answer:
        """As a browser asks for a page."""
        accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        return self.file(path, ref, Accept=accept)
