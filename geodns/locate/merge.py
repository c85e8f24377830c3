"""Several databases and geofeeds to one table: which source has the last word on what.

Each field of a location comes from the first source that has it: geofeeds in the order
given, then databases in the order given. A subdivision of another country than the one
chosen is not taken. Of special-use networks databases are not believed: geofeeds alone are.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from geodns.locate.geofeed import Geofeed, Row, flatten
from geodns.locate.segments import Segments, sweep
from geodns.locate.special import networks
from geodns.locate.table import NOWHERE
from geodns.model.place import Location

if TYPE_CHECKING:
    # Splicing a geofeed must not wait for maxminddb.
    from geodns.locate.geoip import Database, Record

_TOP = {4: 0xFFFFFFFF, 6: (1 << 128) - 1}
_STEP = 0x3FFF
SPECIAL = Location(None, why="special-use network")


Parts = tuple[tuple[str, tuple[str, ...]], ...]
"""Subdivisions by country, of the first source that has some for that country."""


class Locations:
    """Distinct locations, numbered in the order they were met; 0 is nowhere.

    Behind a location may stand subdivisions of another country, which a geofeed that is laid
    over it and names that country brings back: ``parts`` has them, by number.
    """

    def __init__(
        self, known: Sequence[Location] = (NOWHERE,), parts: Mapping[int, Parts] | None = None
    ) -> None:
        self.all = list(known)
        self.parts = dict(parts or {})
        self._number = {
            (location, self.parts.get(number, _own(location))): number
            for number, location in enumerate(self.all)
        }

    def number(self, location: Location, parts: Parts) -> int:
        """The number of a location with what stands behind it, a new one if it is new."""
        found = self._number.setdefault((location, parts), len(self.all))
        if found == len(self.all):
            self.all.append(location)
            if parts != _own(location):
                self.parts[found] = parts
        return found

    def parts_of(self, number: int) -> Parts:
        """What a location and what stands behind it know of subdivisions."""
        return self.parts.get(number, _own(self.all[number]))


def _own(location: Location) -> Parts:
    if location.country is None or not location.subdivisions:
        return ()
    return ((location.country, location.subdivisions),)


def merge_places(
    databases: Sequence[Database],
    version: int,
    locations: Locations,
    progress: Callable[[int], None],
) -> Segments:
    """Merge the databases that know countries to segments of location numbers.

    progress gets the number of segments made so far.
    """
    using = [(at, found) for at, found in enumerate(databases) if found.has_countries]
    if not using:
        return Segments.empty(version)
    if len(using) == 1:
        source, database = using[0]
        table = database.tables[version]
        numbers = [_locate([(source, record)], locations)[0] for record in database.records]
        return table.with_values(array("I", map(numbers.__getitem__, table.values)))
    tables = [database.tables[version] for _, database in using]
    merged = Segments(version)
    known: dict[tuple[int, ...], tuple[int, int]] = {}
    for start, at in sweep(tables):
        key = tuple([table.values[index] for table, index in zip(tables, at, strict=True)])
        found = known.get(key)
        if found is None:
            records = [
                (source, database.records[value])
                for (source, database), value in zip(using, key, strict=True)
            ]
            found = known[key] = _locate(records, locations)
        number, winner = found
        merged.append(start, number, tables[winner].lengths[at[winner]] if number else 0)
        if not len(merged) & _STEP:
            progress(len(merged))
    return merged


def _locate(records: Sequence[tuple[int, Record]], locations: Locations) -> tuple[int, int]:
    """Number the location that records of several sources give together.

    Returns it with the index of the record that gave the country.
    """
    parts: dict[str, tuple[str, ...]] = {}
    for _, record in records:
        if record.country and record.subdivisions:
            parts.setdefault(record.country, record.subdivisions)
    behind = tuple(parts.items())
    for winner, (source, record) in enumerate(records):
        if record.country:
            location = Location(record.country, parts.get(record.country, ()), source)
            return locations.number(location, behind), winner
    for winner, (source, record) in enumerate(records):
        if record.why:
            return locations.number(Location(None, (), source, record.why), ()), winner
    return 0, 0


def merge_asn(databases: Sequence[Database], version: int) -> Segments:
    """Merge the databases that know AS numbers to segments of AS numbers.

    Neighbours of the same AS become one segment; prefix lengths are not kept.
    """
    using = [database for database in databases if database.has_asn]
    merged = Segments(version)
    if not using:
        return Segments.empty(version)
    tables = [database.tables[version] for database in using]
    numbers = [[record.asn for record in database.records] for database in using]
    last = -1
    for start, at in sweep(tables):
        asn = 0
        for table, index, known in zip(tables, at, numbers, strict=True):
            if asn := known[table.values[index]]:
                break
        if asn != last:
            merged.append(start, asn, 0)
            last = asn
    return merged


def splice(base: Segments, feed: Geofeed, source: int, locations: Locations) -> Segments:
    """Lay a feed over a table: its rows win, what lies between is copied as it is.

    A row without a region keeps the subdivisions below it that are of its country. source:
    the feed's index among the table's sources.
    """
    ranges = list(flatten(row for row in feed.rows if row.version == base.version))
    if not ranges:
        return base
    below = bool(locations.parts) or any(location.subdivisions for location in locations.all)
    made = Segments(base.version)
    address = 0
    for first, last, row in ranges:
        if address < first:
            _copy(base, made, address, first)
        if below:
            _overlay(base, made, first, last, row, source, locations)
        else:
            own = Location(row.country, row.subdivisions, source, row.why)
            made.append(first, locations.number(own, _own(own)), row.length)
        address = last + 1
    if address <= _TOP[base.version]:
        _copy(base, made, address, _TOP[base.version] + 1)
    return made


def blank_special(base: Segments, locations: Locations) -> Segments:
    """The same table, but special-use networks (RFC 6890) are in no country.

    For what databases say: who uses such a network is the operator's to know.
    """
    number = locations.number(SPECIAL, ())
    made = Segments(base.version)
    address = 0
    for first, last, length in networks(base.version):
        if address < first:
            _copy(base, made, address, first)
        made.append(first, number, length)
        address = last + 1
    if address <= _TOP[base.version]:
        _copy(base, made, address, _TOP[base.version] + 1)
    return made


def _copy(base: Segments, made: Segments, address: int, end: int) -> None:
    """Copy what ``base`` has from ``address`` up to ``end`` (exclusive)."""
    begin = base.index(address)
    made.append(address, base.values[begin], base.lengths[begin])
    made.extend(base, begin + 1, base.index(end - 1) + 1)


def _overlay(
    base: Segments,
    made: Segments,
    first: int,
    last: int,
    row: Row,
    source: int,
    locations: Locations,
) -> None:
    known: dict[int, int] = {}
    held = -1
    for at in range(base.index(first), base.index(last) + 1):
        beneath = base.values[at]
        number = known.get(beneath)
        if number is None:
            parts = dict(locations.parts_of(beneath))
            if row.country and row.subdivisions:
                parts[row.country] = row.subdivisions
            own = Location(row.country, parts.get(row.country or "", ()), source, row.why)
            number = known[beneath] = locations.number(own, tuple(parts.items()))
        if number != held:
            made.append(max(first, base.start(at)), number, row.length)
            held = number
