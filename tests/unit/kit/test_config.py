"""Settings: every mistake is reported at once, with its variable."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from services.kit import config


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    url: str
    folder: Path
    retries: int = 3
    drain: timedelta = timedelta(seconds=20)
    verbose: bool = False


def test_values_are_read_by_type() -> None:
    environ = {"X_URL": "a", "X_FOLDER": "/b", "X_RETRIES": "5", "X_DRAIN": "1.5s", "X_VERBOSE": "yes", "OTHER": "z"}
    assert config.read(Settings, prefix="X_", environ=environ) == Settings(
        url="a", folder=Path("/b"), retries=5, drain=timedelta(seconds=1.5), verbose=True
    )


def test_all_mistakes_come_together() -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.read(Settings, prefix="X_", environ={"X_RETRIES": "many", "X_VERBOSE": "perhaps"})
    text = str(caught.value)
    assert all(name in text for name in ("X_URL", "X_FOLDER", "X_RETRIES='many'", "X_VERBOSE='perhaps'"))
