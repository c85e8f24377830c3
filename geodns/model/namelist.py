"""Many domain names in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import overload


class NameList(Sequence[bytes]):
    """An immutable sequence of folded wire-format names, packed into one string of octets.

    A million names take some 30 MB here and four times that as separate objects. blob: the
    names, one behind the other. starts: where each begins, and the end; array type I.
    """

    __slots__ = ("blob", "starts")

    def __init__(self, blob: bytes = b"", starts: array[int] | None = None) -> None:
        self.blob = blob
        self.starts = starts if starts is not None else array("I", [0])

    @classmethod
    def of(cls, names: Iterable[bytes]) -> NameList:
        """Pack names."""
        kept = list(names)
        return cls(b"".join(kept), array("I", accumulate(map(len, kept), initial=0)))

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
            return self.blob == other.blob and self.starts == other.starts
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self.blob)

    def __repr__(self) -> str:
        return f"NameList.of({tuple(self)!r})"
