"""Sorted segments of the address space while a place table is built.

A segment runs from its start to the next one's; together they cover every address. Values
are small integers (record, location or AS numbers); value 0 is "nothing known".
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence

_LOW64 = 0xFFFFFFFFFFFFFFFF


class Segments:
    """Growing columns of one IP version: starts, values, prefix lengths.

    upper: upper 64 bits of IPv6 starts, empty for IPv4. lower: IPv4 starts, or the lower 64
    bits. lengths: prefix length of the record behind the value, 0 if none.
    """

    __slots__ = ("lengths", "lower", "upper", "values", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.upper = array("Q")
        self.lower = array("I" if version == 4 else "Q")
        self.values = array("I")
        self.lengths = array("B")

    @classmethod
    def empty(cls, version: int) -> Segments:
        """One segment that knows nothing."""
        made = cls(version)
        made.append(0, 0, 0)
        return made

    @classmethod
    def from_sections(cls, version: int, sections: Sequence[memoryview]) -> Segments:
        """Copy the raw sections of a place table: starts, values, lengths."""
        made = cls(version)
        columns = [made.upper, made.lower] if version == 6 else [made.lower]
        for column, section in zip([*columns, made.values, made.lengths], sections, strict=True):
            column.frombytes(section)
        return made

    def with_values(self, values: array[int]) -> Segments:
        """The same segments with other values; the columns are shared."""
        made = Segments(self.version)
        made.upper, made.lower, made.lengths = self.upper, self.lower, self.lengths
        made.values = values
        return made

    def append(self, start: int, value: int, length: int) -> None:
        """Add a segment behind the last one; a gap behind a gap is the same gap."""
        if not value and self.values and not self.values[-1]:
            return
        if self.version == 6:
            self.upper.append(start >> 64)
            self.lower.append(start & _LOW64)
        else:
            self.lower.append(start)
        self.values.append(value)
        self.lengths.append(length)

    def extend(self, other: Segments, begin: int, end: int) -> None:
        """Add the segments ``begin`` to ``end`` (exclusive) of another table as they are."""
        if begin >= end:
            return
        if self.version == 6:
            self.upper.extend(other.upper[begin:end])
        self.lower.extend(other.lower[begin:end])
        self.values.extend(other.values[begin:end])
        self.lengths.extend(other.lengths[begin:end])

    def start(self, at: int) -> int:
        """The first address of a segment."""
        return self.upper[at] << 64 | self.lower[at] if self.version == 6 else self.lower[at]

    def index(self, address: int) -> int:
        """The index of the segment that holds an address."""
        if self.version == 4:
            return bisect_right(self.lower, address) - 1
        return bisect_right(range(len(self.lower)), address, key=self.start) - 1

    def raw(self) -> list[array[int]]:
        """The columns in the order of a place table's sections."""
        starts = [self.upper, self.lower] if self.version == 6 else [self.lower]
        return [*starts, self.values, self.lengths]

    def __len__(self) -> int:
        return len(self.lower)


def sweep(tables: Sequence[Segments]) -> Iterator[tuple[int, list[int]]]:
    """Walk several tables of one IP version at once, in address order.

    Yields a start and, for each table, the index of its segment there, at every address
    where any of them begins a segment. The list is the same object each time.
    """
    limit = 1 << 128
    at = [0] * len(tables)
    sizes = [len(table) for table in tables]
    following = [table.start(1) if len(table) > 1 else limit for table in tables]
    start = 0
    while start < limit:
        yield start, at
        start = min(following)
        for index, table in enumerate(tables):
            if following[index] == start != limit:
                at[index] += 1
                after = at[index] + 1
                following[index] = table.start(after) if after < sizes[index] else limit
