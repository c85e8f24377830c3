"""The place table: every address to its location and its ASN, as one mapped file.

One immutable file holds sorted flat arrays that are searched by bisection; the processes of
a server share its pages. docs/geoip.md describes the layout. Nothing here needs more than
the standard library, so that worker processes start fast.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from operator import ne
from pathlib import Path
from struct import Struct
from typing import Any

from geodns.errors import DatabaseError
from geodns.model.place import Location

MAGIC = b"GEODNSPT"
FORMAT = 1
HEADER = Struct("<8sII32s16x")
"""Magic, format version, number of sections, SHA-256 of all that follows the header."""
_SPARE = HEADER.size - 16
ENTRY = Struct("<QQ")
"""One entry of the section directory: offset from the start of the file, length; octets."""
SECTIONS = ("B", "I", "I", "B", "Q", "Q", "I", "B", "I", "I", "Q", "Q", "I")
"""Item types: meta (JSON), then the arrays of the four tables below."""
META, PLACES4, PLACES6, ASN4, ASN6 = 0, 1, 4, 8, 10
"""First section of each table. PLACES4: starts, location ids, prefix lengths. PLACES6: upper
and lower 64 bits of starts, location ids, prefix lengths. ASN4, ASN6: starts, numbers."""

Runs = tuple[list[int], list[int]]
"""First addresses, ascending from 0, and a value for each; a run ends before the next."""

NOWHERE = Location(None, why="no record")
"""Location 0 of every table: no source has the address."""

_LOW64 = 0xFFFFFFFFFFFFFFFF
_TOP = {4: 0xFFFFFFFF, 6: (1 << 128) - 1}


@dataclass(frozen=True, slots=True)
class Source:
    """A database or geofeed that went into a place table.

    name: its file name. kind: ``geofeed``, ``country``, ``city``, ``flat`` or ``asn``.
    built: when it was made, seconds since 1970 (a geofeed: when it was last changed).
    networks: how many records it has. edition: SHA-256 of the file, hexadecimal.
    without_country: networks whose record names no country. places: how many countries and
    subdivisions it names. database_type: what an MMDB says of itself.
    """

    name: str
    kind: str
    path: str
    built: float
    networks: int
    edition: str
    without_country: int = 0
    places: int = 0
    database_type: str = ""


class PlaceTable:
    """One place table, mapped and immutable. Its segments cover every address."""

    def __init__(self, path: Path, buffer: mmap.mmap) -> None:
        """Read a verified buffer; use ``open``."""
        self.path = path
        self._buffer = buffer
        self._sections = _sections(buffer)
        meta: dict[str, Any] = json.loads(bytes(self._sections[META]))
        self.edition: str = meta["edition"]
        self.sources = tuple(Source(**entry) for entry in meta["sources"])
        self.locations = tuple(
            Location(country, tuple(subdivisions), source, why)
            for country, subdivisions, source, why in meta["locations"]
        )
        self._parts: list[Any] = meta["parts"]
        self.has_subdivisions = any(location.subdivisions for location in self.locations)
        self.has_asn: bool = meta["has_asn"]
        cast = [_cast(view, code) for view, code in zip(self._sections, SECTIONS, strict=True)]
        self._start4, self._place4, self._length4 = cast[PLACES4:PLACES6]
        self._upper6, self._lower6, self._place6, self._length6 = cast[PLACES6:ASN4]
        self._asn_start4, self._asn4 = cast[ASN4:ASN6]
        self._asn_upper6, self._asn_lower6, self._asn6 = cast[ASN6:]
        self._found: dict[int, dict[str, int]] = {}

    @classmethod
    def open(cls, path: str | Path) -> PlaceTable:
        """Map a place table. Raises DatabaseError, naming the file, if it is not a whole one.

        While it is mapped a shared lock is held on the file, so that nobody cleans it up.
        """
        path = Path(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DatabaseError(f"{path}: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                pass  # a file system without locks: clean-up keeps the newest anyway
            buffer = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
            _verify(buffer)
            return cls(path, buffer)
        except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
            raise DatabaseError(f"{path}: this is no whole place table ({error})") from None
        finally:
            # The mapping has a descriptor of its own, which keeps the lock.
            os.close(descriptor)

    @property
    def columns(self) -> tuple[memoryview, ...]:
        """The mapped arrays: IPv4 starts and location ids; upper and lower halves of IPv6
        starts, and location ids; then the same five of AS numbers."""
        return (
            *(self._start4, self._place4, self._upper6, self._lower6, self._place6),
            *(self._asn_start4, self._asn4, self._asn_upper6, self._asn_lower6, self._asn6),
        )

    def find(self, version: int, address: int) -> tuple[int, int, int, int]:
        """Find the segment of an address (an integer of 32 or 128 bits).

        Returns the location id, the first and last address of the segment, and the prefix
        length (in bits of that version) of the record that gave the country, 0 if none.
        """
        if version == 4:
            starts = self._start4
            at = bisect_right(starts, address) - 1
            last = starts[at + 1] - 1 if at + 1 < len(starts) else _TOP[4]
            return self._place4[at], starts[at], last, self._length4[at]
        at = _index6(self._upper6, self._lower6, address)
        first, last = _bounds6(self._upper6, self._lower6, at)
        return self._place6[at], first, last, self._length6[at]

    def find_asn(self, version: int, address: int) -> tuple[int, int, int]:
        """Find an address's AS number (0: none known), with the first and last address that
        have the same."""
        if version == 4:
            starts = self._asn_start4
            at = bisect_right(starts, address) - 1
            last = starts[at + 1] - 1 if at + 1 < len(starts) else _TOP[4]
            return self._asn4[at], starts[at], last
        at = _index6(self._asn_upper6, self._asn_lower6, address)
        first, last = _bounds6(self._asn_upper6, self._asn_lower6, at)
        return self._asn6[at], first, last

    def runs(self, version: int, value_of: Sequence[int]) -> Runs:
        """Join neighbouring segments whose location ids have the same value.

        value_of: a value for each location id. Returns the first addresses of the runs,
        ascending from 0, and their values. Passes over the whole table once.
        """
        places = self._place4 if version == 4 else self._place6
        columns = (self._start4,) if version == 4 else (self._upper6, self._lower6)
        return _join(columns, list(map(value_of.__getitem__, places)))

    def asn_runs(self, version: int, value_of: Mapping[int, int]) -> Runs:
        """The same for AS numbers (0: none known); a number without a value has 0."""
        asns = self._asn4 if version == 4 else self._asn6
        columns = (self._asn_start4,) if version == 4 else (self._asn_upper6, self._asn_lower6)
        return _join(columns, [value_of.get(asn, 0) for asn in asns])

    def representative(self, country: str, version: int = 4) -> int | None:
        """An address that this table puts in a country: the second of its largest network.

        Special-use networks (RFC 6890) are only taken where there is no other. None if the
        country has no network in that IP version.
        """
        if version not in self._found:
            self._found[version] = self._representatives(version)
        return self._found[version].get(country)

    def _representatives(self, version: int) -> dict[str, int]:
        from geodns.locate.special import is_special

        countries = [location.country for location in self.locations]
        places = self._place4 if version == 4 else self._place6
        best: dict[str, tuple[bool, int, int]] = {}
        starts = self._start4.tolist() if version == 4 else self._starts6()
        starts.append(_TOP[version] + 1)
        for at, place in enumerate(places):
            country = countries[place]
            if country is None:
                continue
            first = starts[at]
            size = starts[at + 1] - first
            held = best.get(country)
            if held is not None and held[0] and size <= held[1]:
                continue
            candidate = (not is_special(version, first), size, first)
            if held is None or candidate[:2] > held[:2]:
                best[country] = candidate
        return {
            country: first + (1 if size > 1 else 0) for country, (_, size, first) in best.items()
        }

    def _starts6(self) -> list[int]:
        return [
            upper << 64 | lower for upper, lower in zip(self._upper6, self._lower6, strict=True)
        ]

    def stale(self, max_age_days: float | None, now: float) -> list[int]:
        """Indexes of the databases older than so many days at ``now`` (epoch seconds).

        Geofeeds are the operator's own word and never go stale; None: nothing does.
        """
        if max_age_days is None:
            return []
        return [
            at
            for at, source in enumerate(self.sources)
            if source.kind != "geofeed" and now - source.built > max_age_days * 86400
        ]

    @property
    def parts(self) -> dict[int, tuple[tuple[str, tuple[str, ...]], ...]]:
        """By location id, subdivisions of other countries behind it: for the builder."""
        return {
            number: tuple((country, tuple(codes)) for country, codes in parts)
            for number, parts in self._parts
        }

    def section(self, index: int) -> memoryview:
        """The raw octets of a section: for the builder."""
        return self._sections[index]


def _join(columns: Sequence[memoryview], values: list[int]) -> Runs:
    # Comparing the list with itself shifted by one leaves the loop to C: 40 ms a million.
    changed = [0, *compress(range(1, len(values)), map(ne, values, islice(values, 1, None)))]
    if len(columns) == 1:
        starts = [columns[0][at] for at in changed]
    else:
        starts = [columns[0][at] << 64 | columns[1][at] for at in changed]
    return starts, [values[at] for at in changed]


def _sections(buffer: mmap.mmap) -> list[memoryview]:
    whole = memoryview(buffer)
    found = []
    for index in range(len(SECTIONS)):
        offset, length = ENTRY.unpack_from(buffer, HEADER.size + index * ENTRY.size)
        if offset % 8 or offset + length > len(buffer):
            raise ValueError("a section lies outside the file or askew")
        found.append(whole[offset : offset + length])
    return found


def _cast(view: memoryview, code: str) -> memoryview:
    if sys.byteorder == "little":
        return view.cast(code)  # type: ignore[call-overload,no-any-return]
    swapped = array(code, bytes(view))
    swapped.byteswap()
    return memoryview(swapped)


def _verify(buffer: mmap.mmap) -> None:
    if len(buffer) < HEADER.size + ENTRY.size * len(SECTIONS):
        raise ValueError("too short")
    magic, version, sections, digest = HEADER.unpack_from(buffer)
    if magic != MAGIC:
        raise ValueError("wrong magic number")
    if version != FORMAT or sections != len(SECTIONS):
        raise ValueError(f"format {version}, this program reads format {FORMAT}")
    if any(buffer[_SPARE : HEADER.size]):
        raise ValueError("octets of its header that nothing has a use for are not zero")
    with memoryview(buffer) as whole, whole[HEADER.size :] as rest:
        if hashlib.sha256(rest).digest() != digest:
            raise ValueError("the checksum does not match")


def _index6(upper: memoryview, lower: memoryview, address: int) -> int:
    high = address >> 64
    end = bisect_right(upper, high)
    begin = bisect_left(upper, high, 0, end)
    return bisect_right(lower, address & _LOW64, begin, end) - 1


def _bounds6(upper: memoryview, lower: memoryview, at: int) -> tuple[int, int]:
    first = upper[at] << 64 | lower[at]
    after = at + 1
    last = (upper[after] << 64 | lower[after]) - 1 if after < len(upper) else _TOP[6]
    return first, last
