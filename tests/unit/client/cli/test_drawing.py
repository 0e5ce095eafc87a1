"""What is drawn on a terminal: a bar that knows its total, and tables of which nothing is cut off."""

import io
import sys
from pathlib import Path

import pytest

from datamill.bulk.local import LocalFile
from datamill.cli import drawing, output
from datamill.cli.commands.data.bars import transfer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_transfer_is_drawn_when_somebody_watches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1234")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with transfer("writing", files=[LocalFile("one", str(tmp_path / "one"))]) as progress:
        progress(1, 4)
    assert "writing, 1 files" in terminal.getvalue()


def test_nothing_is_drawn_when_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", out := io.StringIO())
    with transfer("writing", 4) as progress:
        progress(1, 4)
    assert out.getvalue() == ""


def test_a_table_for_people_shows_every_cell_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing.table(("ID", "STATE"), [("f" * 300, "success")], with_headers=True)
    assert "f" * 300 in capsys.readouterr().out
    monkeypatch.setattr(output, "people_watch", lambda: True)
    output._table(("ID",), [("one",)], with_headers=True)
    assert capsys.readouterr().out.split() == ["ID", "one"]
