"""Files of this machine, in folders that the operator allows: "file:///folder/file"."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.kit.urls.port import PIECE_BYTES, BadUrl, DeliveryFailed, Item, NothingThere, RetrievalFailed
from services.kit.urls.rules import Rules


@dataclass(frozen=True)
class Files:
    """A file, or (recursive) every file whose path begins with the text of this one; also a folder to write below."""

    url: str
    path: Path
    rules: Rules
    recursive: bool = False

    @classmethod
    def at(cls, url: str, rules: Rules, *, recursive: bool = False) -> "Files":
        """Raises BadUrl, UrlRefused."""
        host, slash, rest = url.partition("://")[2].partition("/")
        if host not in {"", "localhost"} or not slash or "\0" in rest:
            raise BadUrl(url, "a local file is written file:///with/its/whole/path")
        path = Path("/" + rest)
        if ".." in path.parts:
            raise BadUrl(url, 'it holds ".."')
        rules.inside(path, url)
        return cls(url, path, rules, recursive)

    def items(self) -> Iterator[Item]:
        if not self.recursive:
            yield self._item("", self.path)
            return
        text = str(self.path) + ("/" if self.url.endswith("/") and str(self.path) != "/" else "")
        for path in self._below(text):
            yield self._item(str(path)[len(text) :], path)

    def put(self, name: str, size: int, pieces: Iterator[bytes]) -> None:
        target = self.path / name
        url = f"file://{target}"
        self.rules.inside(target, url)
        temp = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(temp, "xb") as file:
                    for piece in pieces:
                        file.write(piece)
                os.replace(temp, target)
            finally:
                temp.unlink(missing_ok=True)
        except OSError as error:
            raise DeliveryFailed(url, error.strerror) from error

    def _item(self, name: str, path: Path) -> Item:
        found = self.rules.inside(path, f"file://{path}")
        if not found.is_file():
            raise NothingThere(f"file://{path}")
        return Item(name, found.stat().st_size, lambda: self._read(found))

    def _read(self, path: Path) -> Iterator[bytes]:
        try:
            with open(path, "rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
        except OSError as error:
            raise RetrievalFailed(f"file://{path}", error.strerror) from error

    def _below(self, text: str) -> Iterator[Path]:
        """Files whose path begins with the text: a folder's, and those of its neighbours that are allowed."""
        top = Path(text) if text.endswith("/") else Path(text).parent
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(name for name in folders if self._leads(text, os.path.join(folder, name)))
            for name in sorted(files):
                path = Path(folder, name)
                if str(path).startswith(text) and self._allowed(path) and path.is_file():
                    yield path

    def _leads(self, text: str, folder: str) -> bool:
        return folder.startswith(text) or text.startswith(folder + "/")

    def _allowed(self, path: Path) -> bool:
        return any(folder in path.parents for folder in self.rules.folders)
