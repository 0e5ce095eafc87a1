"""A data directory: which releases may use it, and files that are written whole."""

from pathlib import Path

import pytest

from deploy.local import layout as layouts
from deploy.local.layout import VERSION, CannotRun


def test_a_new_directory_gets_release_and_token(tmp_path: Path) -> None:
    layout = layouts.resolve(tmp_path / "a" / "b")
    token = layouts.prepare(layout)
    assert len(token) == 64
    assert (layout.data_dir / "version").read_text() == f"{VERSION}\n"
    assert (layout.data_dir / "token").stat().st_mode & 0o777 == 0o600
    assert layouts.prepare(layout) == token


@pytest.mark.parametrize("release", ["0.0.9", "0.1.0", VERSION])
def test_directories_of_older_releases_are_taken_over(tmp_path: Path, release: str) -> None:
    (tmp_path / "version").write_text(release)
    layouts.prepare(layouts.resolve(tmp_path))
    assert (tmp_path / "version").read_text() == f"{VERSION}\n"


@pytest.mark.parametrize("release", ["99.0.0", "0.1.0.1", "who-knows"])
def test_directories_of_newer_releases_are_refused(tmp_path: Path, release: str) -> None:
    (tmp_path / "version").write_text(release)
    with pytest.raises(CannotRun, match="was written by datamill"):
        layouts.prepare(layouts.resolve(tmp_path))
    assert (tmp_path / "version").read_text() == release


def test_a_directory_is_locked_for_one(tmp_path: Path) -> None:
    layout = layouts.resolve(tmp_path)
    layouts.prepare(layout)
    assert layouts.holder(layout) is None
    layouts.lock(layout)
    assert layouts.holder(layout) is not None
    with pytest.raises(CannotRun, match="already running"):
        layouts.lock(layout)
