"""Replacement templates: what `joinOn` and `groupBy` make of a glob's captures.

`$n` and `${n}` are the n-th capture, `$0` the whole path without its trailing "/", `$$` a dollar; a group that is not
there is empty, and a dollar that begins none of these stays.
"""

import re
from collections.abc import Sequence

_REFERENCE = re.compile(r"\$(?:(\$)|(\d+)|\{(\d+)\})")


def evaluate(template: str, path: str, captures: Sequence[str]) -> str:
    """The key of a matched path."""
    if "$" not in template:
        return template
    groups = (path.rstrip("/"), *captures)

    def value(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        number = int(found[2] or found[3])
        return groups[number] if number < len(groups) else ""

    return _REFERENCE.sub(value, template)
