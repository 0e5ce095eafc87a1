"""What runs in the other process: a jq filter over records, or a jsonnet template. Speaks lines of JSON on its pipes.

It is run by its path and imports nothing of ours. Before a user's program is read it gives up what a program could
misuse: it has no environment, opens no further file, and the kernel ends it when it takes too much memory or, should
the server that waits for it be gone, too much time.
Elsewhere: the server's side of the pipes, which keeps the time (confined.py).
"""

import json
import re
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

MEMORY_BYTES = 256 << 20
SECONDS = 15  # the server ends it sooner
JQ_FILES, JSONNET_FILES = 3, 32  # the second: a runtime that opens a few for itself; its programs cannot ask for any

END_OF_REFUSAL = "\x03"
"""The jsonnet library adds bytes of its memory to what an import is refused with: they are cut off behind this."""


def confine(files: int) -> None:
    for what, most in (
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_DATA, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def tell(answer: Any) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


def told() -> Any:
    """The next line, with the clock set; the process ends when there is none."""
    signal.alarm(0)
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit()
    signal.alarm(SECONDS)
    return json.loads(line)


def run_jq() -> None:
    import jq  # noqa: PLC0415 - each child needs one of two libraries

    confine(JQ_FILES)
    try:
        program = jq.compile(told())
    except ValueError as error:
        tell({"error": str(error)})
        return
    tell({})
    while True:
        record = told()
        try:
            tell({"first": next(iter(program.input_text(record)), None)})
        except ValueError as error:
            tell({"error": str(error)})


def run_jsonnet() -> None:
    import _gojsonnet  # noqa: PLC0415

    def imported(base: str, path: str) -> tuple[str, bytes]:
        tell({"import": path, "base": base})
        answer = told()
        if "error" in answer:
            raise RuntimeError(answer["error"] + END_OF_REFUSAL)
        return answer["url"], answer["text"].encode()

    confine(JSONNET_FILES)
    asked = told()
    try:
        text = _gojsonnet.evaluate_snippet(
            asked["name"], asked["template"], tla_vars=asked["args"], import_callback=imported
        )
    except RuntimeError as error:
        tell({"error": _readable(str(error))})
    except UnicodeDecodeError as error:
        tell({"error": _readable(error.object.decode("utf-8", "replace"))})
    else:
        tell({"json": text})


def _readable(error: str) -> str:
    """What is between the end of a refusal and the place in the template is no text."""
    return re.sub(f"{END_OF_REFUSAL}.*?(?=\n\t|\\Z)", "", error, count=1, flags=re.DOTALL)


RUN: dict[str, Callable[[], None]] = {"jq": run_jq, "jsonnet": run_jsonnet}

if __name__ == "__main__":
    RUN[sys.argv[1]]()
