"""What `datamill url` prints: an address that means the same file over HTTP."""

import pytest

from datamill.cli.main import run

ID = "0123456789ab4def0123456789abcdef"


@pytest.mark.parametrize(
    ("file", "address", "printed"),
    [
        (
            "images@master:/one.jpg",
            "grpc://localhost:30650",
            "http://localhost:30650/pfs/default/images/master/one.jpg",
        ),
        ("images@master:a b;c?%", "host:1", "http://host:1/pfs/default/images/master/a%20b;c%3F%25"),
        ("lab/images@master", "grpcs://files.example.org:443", "https://files.example.org:443/pfs/lab/images/master/"),
        (f"images@{ID}:/d/", "grpc://[::1]:5", f"http://[::1]:5/pfs/default/images/{ID}/d/"),
        ("images.meta@master^2:/f", "h:1", "http://h:1/pfs/default/images.meta/master^2/f"),
    ],
)
def test_an_address(file: str, address: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["url", file, "--address", address]) == 0
    assert capsys.readouterr().out == printed + "\n"


def test_what_names_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["url", "images"]) == 2
    assert "images@master" in capsys.readouterr().err
