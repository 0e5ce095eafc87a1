"""Turn protos/datamill/wire/*.proto into the Python package datamill.wire.

Decided here: where generated code lands (the file path gives the module), which plugins write it, and when there is
nothing to do. Elsewhere: what a good .proto looks like (check.py); whether the public ones are right (tests/compat).

Output is written beside the old one and moved in file by file, so that a process importing datamill.wire while this
runs never meets half a folder. Files that no .proto explains any more are removed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
PACKAGE = Path("datamill/wire")
OUTPUT = PROTOS.parent / "clients/python"
STAMP = ".stamp"
INIT = '"""The wire protocol: modules generated from protos/datamill/wire. Do not edit; run `make protos`."""\n'
TOOLS = ("grpcio-tools", "mypy-protobuf", "protobuf")
HOW = (
    "--python_out={out}",
    "--grpc_python_out={out}",
    "--mypy_out=quiet:{out}",
    "--mypy_grpc_out=quiet,generate_concrete_servicer_stubs:{out}",  # a servicer may leave methods unwritten
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description="Generate datamill.wire from the .proto files.")
    options.add_argument("--output", type=Path, default=OUTPUT, help="folder that holds the datamill package")
    options.add_argument("--force", action="store_true", help="generate even when nothing changed")
    chosen = options.parse_args(arguments)
    sources = sorted((PROTOS / PACKAGE).glob("*.proto"))
    target = chosen.output / PACKAGE
    wanted = fingerprint(sources)
    if not chosen.force and stamped(target) == wanted:
        return 0
    chosen.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".protos-", dir=chosen.output) as scratch:
        if code := compile_all(sources, Path(scratch)):
            return code
        fresh = Path(scratch) / PACKAGE
        (fresh / "__init__.py").write_text(INIT)
        (fresh / "py.typed").touch()
        install(fresh, target)
    (target / STAMP).write_text(wanted)
    print(f"datamill.wire: {len(sources)} proto files generated in {target}")
    return 0


def fingerprint(sources: list[Path]) -> str:
    """Name everything the output depends on: the sources, this script and the versions of the compilers."""
    digest = hashlib.sha256()
    for name in TOOLS:
        digest.update(f"{name} {version(name)}\n".encode())
    for path in [Path(__file__), *sources]:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def stamped(target: Path) -> str | None:
    stamp = target / STAMP
    return stamp.read_text() if stamp.exists() else None


def compile_all(sources: list[Path], out: Path) -> int:
    """Run protoc with the mypy plugins that live beside this interpreter, whether or not that folder is on PATH."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}"]
    command += [flag.format(out=out) for flag in HOW]
    command += [str(path.relative_to(PROTOS)) for path in sources]
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return subprocess.run(command, env={**os.environ, "PATH": search}, check=False).returncode


def install(fresh: Path, target: Path) -> None:
    """Make target hold the files of fresh and no other generated ones; leave equal files (and their times) alone."""
    target.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in fresh.iterdir()}
    for name in sorted(names):
        old, new = target / name, fresh / name
        if not old.exists() or old.read_bytes() != new.read_bytes():
            os.replace(new, old)
    for path in target.iterdir():
        if path.is_file() and path.name not in names:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
