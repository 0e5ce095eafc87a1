"""The check of .proto files finds what it is there for, and lets good files pass."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from protos import check

GOOD = """\
// Things.
syntax = "proto3";
package datamill.things.v1;
// Serves things.
service ThingService {
  // Gets one.
  rpc GetThing(GetThingRequest) returns (GetThingResponse);
}
// Asks for a thing.
message GetThingRequest {
  string name = 1;  // whose
  reserved 2;       // was colour: things have none
}
// A thing.
message GetThingResponse {
  uint64 size_bytes = 1;  // of it
  // How it is.
  oneof state {
    Shape shape = 2;  // known
  }
}
// Shapes.
enum Shape {
  SHAPE_UNSPECIFIED = 0;  // not set
  SHAPE_ROUND = 1;        // round
}
"""


def write(root: Path, text: str, name: str = "things_v1") -> None:
    folder = root / "datamill/wire"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.proto").write_text(text)


def complaints(root: Path, capfd: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    code = check.main(["--root", str(root), *arguments])
    found = capfd.readouterr().err.splitlines()
    assert code == (1 if found else 0)
    return [line.replace("datamill/wire/things_v1.proto: ", "") for line in found]


def test_our_own_files_pass(capfd: pytest.CaptureFixture[str]) -> None:
    assert complaints(check.PROTOS, capfd) == []


def test_a_good_file_passes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, GOOD)
    assert complaints(tmp_path, capfd) == []


@pytest.mark.parametrize(
    ("comment", "element"),
    [
        ("// Things.", "the file"),
        ("// Serves things.", "ThingService"),
        ("// Gets one.", "ThingService.GetThing"),
        ("// Asks for a thing.", "GetThingRequest"),
        ("// whose", "GetThingRequest.name"),
        ("// was colour: things have none", "a reservation in GetThingRequest"),
        ("// How it is.", "GetThingResponse.state"),
        ("// known", "GetThingResponse.shape"),
        ("// Shapes.", "Shape"),
        ("// round", "Shape.SHAPE_ROUND"),
    ],
)
def test_a_missing_comment_is_named(
    comment: str, element: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert GOOD.count(comment) == 1
    write(tmp_path, GOOD.replace(comment, ""))
    assert complaints(tmp_path, capfd) == [f"{element} has no comment"]


@pytest.mark.parametrize(
    ("good", "bad", "complaint"),
    [
        (
            "(GetThingRequest)",
            "(Other)",
            "GetThing should use datamill.things.v1.GetThingRequest, not datamill.things.v1.O",
        ),
        ("SHAPE_UNSPECIFIED", "SHAPE_NONE", "Shape.SHAPE_NONE is zero and should end in _UNSPECIFIED"),
        ("uint64 size_bytes", "uint64 size", "GetThingResponse.size should say its unit: size_bytes"),
        ("uint64 size_bytes", "int64 made_at", "GetThingResponse.made_at should be a Timestamp or a Duration"),
        ("datamill.things.v1", "datamill.stuff.v1", "belongs in datamill/wire/stuff_v1.proto"),
    ],
)
def test_our_packages_follow_our_form(
    good: str, bad: str, complaint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, GOOD.replace(good, bad) + "// Another.\nmessage Other {}\n")
    (found,) = complaints(tmp_path, capfd)
    assert complaint in found


def test_public_packages_keep_their_own_form(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, GOOD.replace("datamill.things.v1", "things_v2").replace("SHAPE_UNSPECIFIED", "SHAPE_NONE"))
    assert complaints(tmp_path, capfd) == []


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A repository whose tag v1.0.0 holds the good file below protos/."""
    root = tmp_path / "protos"
    write(root, GOOD)
    author = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "release"], ["tag", "v1.0.0"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return root


@pytest.mark.parametrize(
    ("was", "becomes", "broken"),
    [
        ("string name = 1;", "bytes name = 1;", "datamill.things.v1.GetThingRequest field 1"),
        ("string name = 1;", "string title = 1;", "datamill.things.v1.GetThingRequest field 1"),
        ("string name = 1;", "string name = 3;", "datamill.things.v1.GetThingRequest field 1"),
        ("reserved 2; ", "string colour = 2; ", "datamill.things.v1.GetThingRequest field 2"),
        ("SHAPE_ROUND = 1", "SHAPE_FLAT = 1", "datamill.things.v1.Shape value 1"),
        ("returns (", "returns (stream ", "datamill.things.v1.ThingService.GetThing"),
    ],
)
def test_what_was_released_stays(
    was: str, becomes: str, broken: str, released: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert GOOD.count(was) == 1
    write(released, GOOD.replace(was, becomes))
    (found,) = complaints(released, capfd)
    assert found.startswith(f"{broken} was released as ")


def test_a_field_may_go_when_its_number_is_reserved(released: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(released, GOOD.replace("string name = 1;", "reserved 1;"))
    assert complaints(released, capfd) == []


def test_files_that_do_not_compile_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, GOOD.replace("string name", "strong name"))
    assert any("strong" in line for line in complaints(tmp_path, capfd))
