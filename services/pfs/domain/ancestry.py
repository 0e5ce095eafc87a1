"""How a commit is referred to by steps: "master^", "master~3", "master.1", "master.5^2".

`^` and `~` both step to the parent; `.N` is the N-th commit of the chain counted from its root, from 1.
"""

import re
from dataclasses import dataclass

from services.pfs.domain.errors import BadAncestry

_FORM = re.compile(
    r"(?P<base>[^.^~]*)(?:\.(?P<nth>[0-9]{1,18}))?(?:(?P<run>\^+|~+)|[\^~](?P<steps>[0-9]{1,18}))?",
)


@dataclass(frozen=True, slots=True)
class Ancestry:
    """`base` is a branch or an id; then, when `nth` is set, that one from the root; then `back` parents."""

    base: str
    nth: int | None
    back: int


def parse_ancestry(text: str) -> Ancestry:
    """Raises BadAncestry."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise BadAncestry(f"invalid ancestry format: {text}")
    nth = None if found["nth"] is None else int(found["nth"])
    back = len(found["run"]) if found["run"] else int(found["steps"] or 0)
    if nth is not None:
        if nth == 0:
            raise BadAncestry(f"invalid offset from branch root {nth}: counting starts at 1")
        if back and back >= nth:
            raise BadAncestry("there should be less ancestors than descendants")
        nth, back = nth - back, 0
    return Ancestry(found["base"], nth, back)
