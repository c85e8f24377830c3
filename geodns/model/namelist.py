"""Many domain names in little memory."""

from __future__ import annotations

import mmap
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import overload

AWAY = 1 << 18
"""Octets of names from which putting them away is worth a file."""


class NameList(Sequence[bytes]):
    """An immutable sequence of folded wire-format names, packed into one string of octets.

    A million names take some 30 MB here and four times that as separate objects. blob: the
    names, one behind the other, and perhaps more behind the last. starts: where each begins, and
    the end; item type I.
    """

    __slots__ = ("_file", "blob", "starts")

    def __init__(self, blob: bytes = b"", starts: array[int] | None = None) -> None:
        self.blob: bytes | mmap.mmap = blob
        self.starts: array[int] | memoryview = starts if starts is not None else array("I", [0])
        self._file: mmap.mmap | None = None

    @classmethod
    def of(cls, names: Iterable[bytes]) -> NameList:
        """Pack names."""
        kept = list(names)
        return cls(b"".join(kept), array("I", accumulate(map(len, kept), initial=0)))

    def put_away(self, directory: Path) -> None:
        """Move the octets of a long list to an unnamed file, which is mapped in their place.

        They then take memory only from when they are read until ``rest``. The file is in
        ``directory`` and goes with the list. Raises OSError, and the list is as it was.
        """
        if self._file is not None or len(self.blob) < AWAY:
            return
        starts = memoryview(self.starts).cast("B")
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(self.blob)
            file.write(bytes(-len(self.blob) % self.starts.itemsize))
            file.write(starts)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.starts = memoryview(mapped)[len(mapped) - len(starts) :].cast("I")
        self.blob = self._file = mapped

    def rest(self) -> None:
        """Give back the memory of octets that were put away and read again."""
        if self._file is not None:
            self._file.madvise(mmap.MADV_DONTNEED)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> NameList: ...
    def __getitem__(self, at: int | slice) -> bytes | NameList:
        if isinstance(at, slice):
            return NameList.of(self[index] for index in range(*at.indices(len(self))))
        if at < 0:
            at += len(self)
        if not 0 <= at < len(self):
            raise IndexError(at)
        return self.blob[self.starts[at] : self.starts[at + 1]]

    def __iter__(self) -> Iterator[bytes]:
        blob = self.blob
        return (blob[start:end] for start, end in pairwise(self.starts))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, NameList):
            return self.starts == other.starts and self._octets() == other._octets()
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self._octets())

    def _octets(self) -> bytes:
        return self.blob[: self.starts[-1]]

    def __repr__(self) -> str:
        return f"NameList.of({tuple(self)!r})"
