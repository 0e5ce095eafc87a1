"""How large what a process is started with may be, so that a spec is refused before its first datum fails.

Linux takes 128 KiB for one word of a command or one variable (MAX_ARG_STRLEN, with the zero byte at its end), and all
of them together in a quarter of the stack, 2 MiB as systems come (ARG_MAX; a word costs 9 bytes beside its own). Of
these, half is the spec's, a quarter is for secrets, and the rest for what the machine and a datum's inputs add.
Source: execve(2), "Limits on size of arguments and environment".
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LONGEST = (128 << 10) - 1  # bytes of NAME=VALUE, or of a word
OF_SPEC, OF_SECRETS = 1 << 20, 512 << 10  # bytes
PER_WORD = 9
OF_METADATA = 256 << 10  # what Kubernetes takes as annotations of one object
COMMANDS = ("cmd", "errCmd")


def mistakes(spec: Mapping[str, Any]) -> Iterator[str]:
    """What of a spec is too large, sentence by sentence."""
    transform = spec.get("transform") or {}
    for field in COMMANDS:
        for at, word in enumerate(transform.get(field) or ()):
            if (size := _bytes(word)) > LONGEST:
                yield (
                    f"transform.{field}[{at}] has {size:,} bytes; the system takes at most {LONGEST:,} in one word of a"
                    " command (MAX_ARG_STRLEN): give a long text by stdin"
                )
    variables = transform.get("env") or {}
    for name, value in variables.items():
        if why := too_long(name, _bytes(value)):
            yield f"transform.env: {why}"
    yield from _together(transform, variables)
    metadata = spec.get("metadata") or {}
    size = sum(
        _bytes(text)
        for part in ("labels", "annotations")
        for pair in (metadata.get(part) or {}).items()
        for text in pair
    )
    if size > OF_METADATA:
        yield f"metadata: labels and annotations have {size:,} bytes together; at most {OF_METADATA:,} are taken"


def too_long(name: str, value_bytes: int) -> str:
    """Why a value cannot be that of a variable, or ""."""
    size = _bytes(name) + 1 + value_bytes
    if size <= LONGEST:
        return ""
    shown = name if len(name) <= 60 else f"{name[:57]}..."
    return (
        f"{shown} and its value have {size:,} bytes; the system takes at most {LONGEST:,} in one variable"
        " (MAX_ARG_STRLEN): give it as a file"
    )


def _together(transform: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[str]:
    env = taken(f"{name}={value}" for name, value in variables.items())
    for field in COMMANDS:
        words = transform.get(field) or ()
        if (size := env + taken(words)) > OF_SPEC and words:
            yield (
                f"transform.{field} and transform.env take {size:,} bytes together; at most {OF_SPEC:,} go,"
                " half of what the system has for a process to start with (ARG_MAX)"
            )


def taken(words: Iterable[str]) -> int:
    """Bytes that these take of what a process is started with."""
    return sum(_bytes(word) + PER_WORD for word in words)


def _bytes(text: str | None) -> int:
    return len((text or "").encode("utf-8", "surrogateescape"))
