"""Pairs of text that users hang on things, and the four ways to edit them. Elsewhere: on which things (operations)."""

from collections.abc import Callable

from services.kit.errors import Refused

Pairs = dict[str, str]
Edit = Callable[[Pairs], Pairs]
"""From the pairs that are there to those that shall be."""


class EditsFailed(Refused):
    """Some edits ran into keys that are there already."""


def replacing(pairs: Pairs) -> Edit:
    """Drop all and set these."""
    return lambda _: dict(pairs)


def adding(key: str, value: str) -> Edit:
    """A new pair. The edit raises EditsFailed when the key is taken."""

    def edit(pairs: Pairs) -> Pairs:
        if key in pairs:
            raise EditsFailed(f'add_key target key "{key}" already exists; use edit_key instead')
        return {**pairs, key: value}

    return edit


def setting(key: str, value: str) -> Edit:
    """A pair, there before or not."""
    return lambda pairs: {**pairs, key: value}


def removing(key: str) -> Edit:
    """No such pair, there before or not."""
    return lambda pairs: {name: value for name, value in pairs.items() if name != key}
