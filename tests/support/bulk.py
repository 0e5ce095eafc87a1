"""Watching bulk transfers: what an upload reads, asks and stores, and what a folder holds."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from datamill.bulk import local
from datamill.bulk.recalling import columns, memory, questions
from datamill.bulk.sending import filling, storing
from tests.support.servers import eventually


def aged(folder: Path) -> None:
    """Wait until a later change of the files must show in their times."""
    looks = [columns.look_of(path.stat()) for path in folder.rglob("*") if path.is_file()]
    eventually(lambda: all(memory.settled(look, time.time_ns()) for look in looks), "the files are old enough")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Watch:
    """What an upload reads, asks about one by one, and stores."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.read: list[str] = []
        self.asked: list[str] = []
        self.stored: list[int] = []
        read, same, store = filling.Filling.read, questions.Questions.same, storing.Packs.store

        def reading(self_: Any, file: local.LocalFile) -> Any:
            self.read.append(file.path)
            return read(self_, file)

        def asking(self_: Any, files: Sequence[tuple[str, bytes]]) -> set[int]:
            self.asked += [path for path, _ in files]
            return same(self_, files)

        def storing_(self_: Any, pack: Any) -> bytes:
            self.stored.append(len(pack.body()))
            return store(self_, pack)

        patch.setattr(filling.Filling, "read", reading)
        patch.setattr(questions.Questions, "same", asking)
        patch.setattr(storing.Packs, "store", storing_)
