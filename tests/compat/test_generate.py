"""Generating datamill.wire: complete, quiet when nothing changed, and without leftovers."""

from __future__ import annotations

from pathlib import Path

import pytest

from protos import generate


def wire(output: Path) -> dict[str, int]:
    """Name and time of writing of each generated file."""
    return {path.name: path.stat().st_mtime_ns for path in (output / "datamill/wire").iterdir() if path.is_file()}


def test_each_proto_file_becomes_modules_with_types(tmp_path: Path) -> None:
    assert generate.main(["--output", str(tmp_path)]) == 0
    endings = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
    sources = [path.stem for path in (generate.PROTOS / generate.PACKAGE).glob("*.proto")]
    assert "pfs_v2" in sources
    assert {f"{name}{ending}" for name in sources for ending in endings} | {"__init__.py", "py.typed"} <= {
        *wire(tmp_path)
    }


def test_a_second_run_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main(["--output", str(tmp_path)])
    first, _ = wire(tmp_path), capsys.readouterr()
    assert generate.main(["--output", str(tmp_path)]) == 0
    assert (wire(tmp_path), capsys.readouterr().out) == (first, "")


def test_what_no_proto_explains_goes_and_equal_files_stay(tmp_path: Path) -> None:
    generate.main(["--output", str(tmp_path)])
    first = wire(tmp_path)
    (tmp_path / "datamill/wire/gone_pb2.py").write_text("")
    assert generate.main(["--output", str(tmp_path), "--force"]) == 0
    stamp = generate.STAMP
    assert {**wire(tmp_path), stamp: 0} == {**first, stamp: 0}
    assert [path.name for path in tmp_path.iterdir()] == ["datamill"]
