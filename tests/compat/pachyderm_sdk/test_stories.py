"""The unmodified pachyderm-sdk from PyPI against a running instance: each file of stories/ is told by itself.

The stories run in an environment of their own (requirements/compat.in), where nothing of datamill can be imported, so
that neither the SDK's pins bend ours nor our generated messages meet the SDK's.
"""

import subprocess
from pathlib import Path

import pytest

STORIES = Path(__file__).parent / "stories"
SECONDS = 240.0


@pytest.mark.parametrize("story", sorted(path.stem for path in STORIES.glob("*.py") if path.stem != "given"))
def test_the_sdk_works_unchanged(
    story: str, foreign_python: Path, foreign_environ: dict[str, str], tmp_path: Path
) -> None:
    command = [str(foreign_python), "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", ".", "--confcutdir", "."]
    command += ["-p", "no:cacheprovider", "-p", "given", "-p", "no:logging", "--tb=short", f"{story}.py"]
    command += ["--basetemp", str(tmp_path / "theirs")]  # else it shuts ours to PostgreSQL, which runs as another user
    env = {**foreign_environ, "PYTHONPATH": str(STORIES)}
    done = subprocess.run(command, cwd=STORIES, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
