"""Names in bulk: reading list files and packing name indexes, in plain Python.

The specification of index.pxi, which takes its place where the native extension is
installed; ``plain_names`` and ``index_names`` are whichever is at hand.
"""

from __future__ import annotations

import mmap
import re
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from zlib import crc32

from geodns.fastpath.choice import choose

PLAIN = re.compile(
    rb"(?=.{3,253}\Z)(?!xn--)[a-z0-9_][a-z0-9_-]{0,62}"
    rb"(?:\.(?!xn--)[a-z0-9_][a-z0-9_-]{0,62})*\.(?!xn--)[a-z][a-z0-9_-]{0,62}\Z"
)
"""What nearly every line of a big list is, in lower case. The last label begins with a letter, so
an address cannot match; labels with xn-- want a closer look."""

Chunk = tuple["bytes | mmap.mmap", "array[int] | memoryview", int]
Index = tuple[int, bytes, "array[int]", "array[int]", "array[int]", bytes]
_LENGTH = tuple(bytes((size,)) for size in range(64))


def plain_names_pure(
    data: bytes,
) -> tuple[bytes, array[int], list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """Read the plain lines of a list file: one name a line, blanks around it allowed.

    Returns the distinct names packed as in model.namelist (octets, starts), then the lines
    that are neither blank nor plain as (1-based line, octets as they stand), then later
    mentions of a name as (line, folded wire format). A byte order mark is skipped.
    """
    names: dict[bytes, None] = {}
    odd: list[tuple[int, bytes]] = []
    repeats: list[tuple[int, bytes]] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        text = line.strip(b" \t\r").lower()
        if PLAIN.match(text):
            wire = b"".join([_LENGTH[len(label)] + label for label in text.split(b".")]) + b"\0"
            if wire in names:
                repeats.append((number, wire))
            else:
                names[wire] = None
        elif text:
            odd.append((number, line))
    return b"".join(names), array("I", accumulate(map(len, names), initial=0)), odd, repeats


def index_names_pure(
    chunks: Sequence[Chunk], add: Callable[[int, int], int], filter_bits: int
) -> Index:
    """Pack names into the index that pure.find_names reads.

    chunks: (octets, starts, item) each: names packed as in model.namelist that all get an
    item. add(rule, item) gives the rule that holds both; rule 0 holds nothing. filter_bits:
    bits of the filter for each bucket. Returns the number of names, the filter, buckets, name
    offsets, rules and names, little-endian where the machine is.
    """
    index: dict[bytes, int] = {}
    for blob, starts, item in chunks:
        names = [blob[start:end] for start, end in pairwise(starts)]
        fresh = add(0, item)
        known = [(name, index[name]) for name in names if name in index]
        index.update(dict.fromkeys(names, fresh))
        for name, before in known:
            index[name] = add(before, item)
    size = 1
    while size < len(index):
        size *= 2
    ordered = list(index)
    hashes = [crc32(name[::-1]) for name in ordered]
    bucket_of = [hashed & size - 1 for hashed in hashes]
    order = sorted(range(len(ordered)), key=bucket_of.__getitem__)
    ordered = [ordered[at] for at in order]
    buckets = array("I", bytes(4 * (size + 1)))
    for bucket in bucket_of:
        buckets[bucket + 1] += 1
    bits = max(64, size * filter_bits)
    filter_ = bytearray(bits // 8)
    for hashed in hashes:
        filter_[(hashed & bits - 1) >> 3] |= 1 << (hashed & 7)
    return (
        len(index),
        bytes(filter_),
        array("I", accumulate(buckets)),
        array("I", accumulate(map(len, ordered[:-1]), initial=0) if ordered else ()),
        array("I", map(index.__getitem__, ordered)),
        b"".join(ordered),
    )


plain_names = plain_names_pure
index_names = index_names_pure
# Whoever serves says so where a native module is there and cannot be used (serve/fast.py).
if (_native := choose().module) is not None:
    plain_names, index_names = _native.plain_names, _native.index_names
