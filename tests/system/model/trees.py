"""Files of the model: what writes do to a tree, what is wrong with one, what listings show of it.

A tree is a dictionary (path, datum) → bytes. Elsewhere: commits and branches (model.py).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Key = tuple[str, str]
Tree = dict[Key, bytes]
Shown = tuple[str, str, int]
"""A path (of a directory with "/"), its datum ("" of a directory), its size."""


@dataclass(frozen=True)
class Put:
    """Append bytes to a file; with `over` replace what it holds."""

    key: Key
    data: bytes
    over: bool = False


@dataclass(frozen=True)
class Gone:
    """A file of one datum is removed."""

    key: Key


Effect = Put | Gone


def after(tree: Tree, effects: Iterable[Effect]) -> Tree:
    """The tree with the effects carried out."""
    now = dict(tree)
    for effect in effects:
        if isinstance(effect, Gone):
            now.pop(effect.key, None)
        else:
            now[effect.key] = effect.data if effect.over else now.get(effect.key, b"") + effect.data
    return now


def inside(tree: Iterable[Key], folder: str) -> list[Key]:
    """The keys below a folder, which may end in "/", in order."""
    return sorted((key for key in tree if key[0].startswith(folder.rstrip("/") + "/")), key=order)


def order(key: Key) -> tuple[bytes, str]:
    return key[0].encode(), key[1]


def collided(tree: Iterable[Key]) -> set[str]:
    """The paths that are a file and a directory."""
    paths = {path for path, _ in tree}
    return {folder for path in paths for folder in folders(path) if folder in paths}


def troubles(tree: Iterable[Key]) -> list[str]:
    """What a finished commit may say is wrong with the tree: of the first path, either; nothing: all is well."""
    keys = sorted(tree, key=order)
    found = [(path, f"file / directory path collision ({path})") for path in collided(keys)]
    for one, other in pairwise(keys):
        if one[0] == other[0]:
            path = one[0]
            found.append((path, f"duplicate path output by different datums ({path} from {one[1]} and {path} from"))
    first = min((path for path, _ in found), default="", key=str.encode)
    return [text for path, text in found if path == first]


def folders(path: str) -> list[str]:
    """The directories above a path, without "/" at the end; the root is not among them."""
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]


def walk(tree: Tree) -> list[Shown]:
    """Everything but the root, in order."""
    sizes: dict[str, int] = {}
    for (path, _), data in tree.items():
        for folder in folders(path):
            sizes[folder + "/"] = sizes.get(folder + "/", 0) + len(data)
    files = [(path, datum, len(data)) for (path, datum), data in tree.items()]
    return sorted([*files, *((path, "", size) for path, size in sizes.items())], key=lambda one: (one[0].encode(), one))


def children(tree: Tree, folder: str) -> list[Shown]:
    """What lies directly in a folder; a file itself."""
    own = [one for one in walk(tree) if one[0] == folder.rstrip("/")]
    prefix = folder.rstrip("/") + "/"
    names = re.compile(re.escape(prefix) + "[^/]+/?")
    return own or [one for one in walk(tree) if names.fullmatch(one[0])]


def matching(tree: Tree, pattern: str) -> list[Shown]:
    """What a pattern of names, `*` and `**` matches."""
    words = {"**": ".*", "*": "[^/]*"}
    wanted = re.compile("".join(words.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", pattern)))
    return [one for one in walk(tree) if wanted.fullmatch(one[0].rstrip("/"))]


def copied(source: Tree, path: str, to: str, datum: str, *, append: bool) -> Iterator[Effect]:
    """What copying a file or folder writes."""
    own = [key for key in sorted(source, key=order) if key[0] == path.rstrip("/")]
    for key in [*own, *inside(source, path)]:
        yield Put((to.rstrip("/") + key[0][len(path.rstrip("/")) :], datum), source[key], over=not append)


def removed_below(seen: Tree, own: Sequence[Effect], folder: str, datum: str) -> Iterator[Effect]:
    """What removing a folder writes. own: what the same stream wrote before."""
    for key in inside({*seen, *(effect.key for effect in own)}, folder):
        if key[1] == datum:
            yield Gone(key)
