"""Changes to a file set by columns: many entries without an object for each.

A batch is ascending by key (path, zero byte, datum tag), with none twice. What is decided here is whether the columns
of a caller fit together and hold paths as they are stored; the rules of paths are in paths.py, and each path is held
against them by itself only to say what is wrong.
Elsewhere: whether the content is there (operations/entries/checking.py).
"""

import re
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import lt

from services.kit.errors import Problem
from services.kit.sortedmap.encoding.columns import Numbers
from services.kit.sortedmap.encoding.places import NO_PACK
from services.pfs.domain.files.entries import NO_BYTES_DIGEST, REPLACE, Content, Extent, Op, removal
from services.pfs.domain.files.file_errors import BadEntry
from services.pfs.domain.files.paths import DEFAULT_DATUM, GLOB_CHARACTERS, datum_tag, file_path, split_key

DIGEST = len(NO_BYTES_DIGEST)
MOST_ENTRIES = 65_536  # in one batch
_IN_PATHS = bytes(set(range(0x20, 0x7F)) - set(GLOB_CHARACTERS.encode()))
_ODD = re.compile(rb"/[/\0.]")  # an empty name, one that is missing, or one that may be "." or ".."
_WRONG = re.compile(rb"/(?:/|\0|\.\.?(?:[/\0]|\Z))")


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries by columns. An entry without pack has no bytes, unless it is in `chunked` or `removed`."""

    keys: list[bytes]
    sizes: Numbers
    digests: bytes
    packs: Sequence[bytes]
    """Names of packs; the first one is NO_PACK."""
    which: Numbers
    """The number of each entry's pack among them."""
    offsets: Numbers
    stored: Numbers
    codecs: bytes
    chunked: Mapping[int, tuple[Extent, ...]] = field(default_factory=dict)
    """By the number of the entry, the extents of those that have several."""
    removed: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.keys)

    def named(self) -> set[bytes]:
        """The packs that it names."""
        return {*self.packs[1:], *(extent.pack for extents in self.chunked.values() for extent in extents)}

    def content(self, at: int) -> Content:
        """What the file of an entry that is not removed is made of."""
        digest, size = self.digests[DIGEST * at : DIGEST * at + DIGEST], self.sizes[at]
        if self.which[at] == 0:
            return Content(size, digest, self.chunked.get(at, ()))
        pack = self.packs[self.which[at]]
        return Content(size, digest, (Extent(pack, self.offsets[at], self.stored[at], self.codecs[at], size, digest),))

    def ops(self) -> Iterator[Op]:
        """The same as writes, each for itself."""
        for at, key in enumerate(self.keys):
            if at in self.removed:
                yield removal(key)
            else:
                content = self.content(at)
                # an only extent says the digest
                yield Op(key, REPLACE, content.extents, None if len(content.extents) == 1 else content.digest)

    def only(self, rows: Sequence[int]) -> "Batch":
        """These of the entries, in ascending order of their keys."""
        digests = self.digests
        numbers = {row: number for number, row in enumerate(rows)} if self.chunked or self.removed else {}
        return Batch(
            [self.keys[row] for row in rows],
            array("Q", map(self.sizes.__getitem__, rows)),
            b"".join([digests[DIGEST * row : DIGEST * row + DIGEST] for row in rows]),
            self.packs,
            array("I", map(self.which.__getitem__, rows)),
            array("Q", map(self.offsets.__getitem__, rows)),
            array("Q", map(self.stored.__getitem__, rows)),
            bytes(map(self.codecs.__getitem__, rows)),
            {numbers[row]: extents for row, extents in self.chunked.items() if row in numbers},
            frozenset(numbers[row] for row in self.removed if row in numbers),
        )


def in_order(batches: Sequence[Batch]) -> list[Batch]:
    """The same entries in batches of which each is behind the one before; of equal keys those of later batches stay."""
    found = sorted((batch for batch in batches if batch.keys), key=lambda batch: batch.keys[0])
    if all(a.keys[-1] < b.keys[0] for a, b in zip(found, islice(found, 1, None), strict=False)):
        return found
    whole = _one_behind_another(batches)
    latest = {key: row for row, key in enumerate(whole.keys)}
    return [whole.only([latest[key] for key in sorted(latest)])]


def _one_behind_another(batches: Sequence[Batch]) -> Batch:
    """The batches as one that is not in order."""
    packs, whole_packs, starts, start = list[Numbers](), {NO_PACK: 0}, list[int](), 0
    for batch in batches:
        numbers = [whole_packs.setdefault(pack, len(whole_packs)) for pack in batch.packs]
        packs.append(array("I", map(numbers.__getitem__, batch.which)))
        starts.append(start)
        start += len(batch)

    def together(columns: Iterator[Numbers], code: str = "Q") -> Numbers:
        made = array(code)
        for column in columns:
            made.extend(column)
        return made

    each = list(zip(starts, batches, strict=True))
    return Batch(
        list(chain.from_iterable(batch.keys for batch in batches)),
        together(batch.sizes for batch in batches),
        b"".join(batch.digests for batch in batches),
        list(whole_packs),
        together(iter(packs), "I"),
        together(batch.offsets for batch in batches),
        together(batch.stored for batch in batches),
        b"".join(batch.codecs for batch in batches),
        {start + row: extents for start, batch in each for row, extents in batch.chunked.items()},
        frozenset(start + row for start, batch in each for row in batch.removed),
    )


def keys_of(paths: bytes, datums: bytes) -> list[bytes]:
    """The keys of paths, with a zero byte between two, and of as many datum tags.

    datums: none: all are the default. Raises BadPath, BadEntry.
    """
    count = paths.count(b"\0") + 1
    _check_paths(paths, count)
    if not datums:
        tag = b"\0" + DEFAULT_DATUM.encode()
        keys = (paths.replace(b"\0", tag + b"\1") + tag).split(b"\1")
    else:
        tags = _texts(datums, "datum tags").split("\0")
        if len(tags) != count:
            raise BadEntry(f"a batch of {count} entries has {len(tags)} datum tags")
        tagged = (tag.encode() for tag in map(datum_tag, tags))
        keys = list(map(b"\0".join, zip(paths.split(b"\0"), tagged, strict=True)))
    if not _ascend(keys) or not keys[-1].startswith(b"/"):  # what lies between two that begin with "/" does so, too
        raise _wrong_path(paths) or _wrong_order(keys)
    return keys


def _ascend(keys: Sequence[bytes]) -> bool:
    """Whether each is behind the one before."""
    return all(map(lt, keys, islice(keys, 1, None)))


def _wrong_order(keys: Sequence[bytes]) -> BadEntry:
    first, second = next((a, b) for a, b in zip(keys, islice(keys, 1, None), strict=False) if b <= a)
    (path, datum), (other, other_datum) = split_key(first), split_key(second)
    if first == second:
        return BadEntry(f"file {path} of datum {datum} is there twice in a batch")
    return BadEntry(
        f"the entries of a batch must ascend by path and datum: file {other} of datum {other_datum} came after"
        f" file {path} of datum {datum}"
    )


def numbers_of(data: bytes, count: int, what: str, code: str = "Q") -> Numbers:
    """A column of `count` little-endian numbers, of 8 bytes ("Q") or 4 ("I"); none at all stands for zeros.

    Raises BadEntry.
    """
    made = array(code)
    if data and len(data) != made.itemsize * count:
        raise BadEntry(f"a batch of {count} entries has {len(data)} bytes of {what}, not {made.itemsize * count}")
    made.frombytes(data or bytes(made.itemsize * count))
    if sys.byteorder == "big":
        made.byteswap()
    return made


def is_uniform(column: Numbers) -> bool:
    """Whether all its values are one."""
    raw = column.tobytes()
    return raw == raw[: column.itemsize] * len(column)


def bytes_of(data: bytes, count: int, what: str, width: int = 1) -> bytes:
    """A column of `count` values of so many bytes; none at all stands for zeros. Raises BadEntry."""
    if data and len(data) != width * count:
        raise BadEntry(f"a batch of {count} entries has {len(data)} bytes of {what}, not {width * count}")
    return data or bytes(width * count)


def _check_paths(paths: bytes, count: int) -> None:
    """Hold all paths against the rules at once, but for the one that each begins with "/". Raises BadPath, BadEntry."""
    good = (
        paths.translate(None, _IN_PATHS) == bytes(count - 1)
        and paths.startswith(b"/")
        and not paths.endswith(b"/")
        and (_ODD.search(paths) is None or _WRONG.search(paths) is None)
    )
    wrong = None if good else _wrong_path(paths)
    if wrong is not None:
        raise wrong


def _wrong_path(paths: bytes) -> Exception | None:
    """What is wrong with the first path that is none."""
    try:
        for path in _texts(paths, "paths").split("\0"):
            if (clean := file_path(path)) != path:
                return BadEntry(f"path ({path}) must be written {clean} in a batch")
    except Problem as problem:
        return problem
    return None


def _texts(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadEntry(f"the {what} of a batch are not UTF-8: {error.reason}") from error
