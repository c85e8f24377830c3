"""What is in force: one snapshot, one edition of the place tables, and how they meet.

The server, ``explain`` and ``matrix`` all locate and rule through this one object, so they
cannot disagree. It is immutable and is swapped whole.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection
from dataclasses import dataclass

from geodns.fastpath import tables
from geodns.fastpath.lookup import last_at_most
from geodns.locate.client import MAPPED, NAT64, SIX_TO_FOUR, TEREDO, Client
from geodns.locate.table import PlaceTable, Runs
from geodns.model.place import Location
from geodns.policy.rule import Rules
from geodns.policy.scope import Scopes, class_of_block, uniform_length
from geodns.policy.snapshot import Snapshot

_BITS = {4: 32, 6: 128}
APART = 0xFFFFFFFF
"""The class, in runs only, of IPv6 networks whose clients are judged by an IPv4 address."""
EMBEDDING = tuple(
    (prefix << 128 - bits, ((prefix + 1) << 128 - bits) - 1)
    for prefix, bits in ((MAPPED, 96), (NAT64, 96), (TEREDO, 32), (SIX_TO_FOUR, 16))
)


@dataclass(frozen=True, slots=True)
class Located:
    """A client and what is believed of it.

    scope_class: 0 = no order applies. matched: prefix length of the record that located the
    client, in the family of ``client.address``; 0 = none did. asn: 0 = unknown or not asked.
    spans: the client's prefix lies in several scope classes, so its location is unknown.
    """

    client: Client
    location: Location
    scope_class: int
    matched: int
    asn: int
    spans: bool = False


class InForce:
    """Snapshot, place tables and the scope classes that bind them."""

    def __init__(
        self,
        snapshot: Snapshot,
        places: PlaceTable,
        stale: Collection[int] = (),
        held: InForce | None = None,
    ) -> None:
        """stale: indexes of place sources that are older than the operator allows. held: what
        was in force before; scope classes are taken over from it if nothing moved them."""
        self.snapshot = snapshot
        self.places = places
        self.stale = frozenset(stale)
        if held is not None and not (
            held.places is places
            and held.stale == self.stale
            and held.snapshot.reaches == snapshot.reaches
        ):
            held = None
        self.scopes: Scopes = (
            held.scopes if held else Scopes(snapshot.reaches, places.locations, stale)
        )
        self.rules = Rules(snapshot, self.scopes)
        self._asks_asn = bool(self.scopes.asns)
        self._class_runs: dict[int, ClassRuns] = held._class_runs if held else {}

    def locate(self, client: Client) -> Located:
        """Locate a client. A truncated prefix that spans scope classes is an unknown location."""
        version = client.version
        location_id, _, _, matched = self.places.find(version, client.address)
        asn = self.places.find_asn(version, client.address)[0] if self._asks_asn else 0
        if client.prefix < _BITS[version]:
            found = class_of_block(self._runs(version).class_at, client.address, client.last)
            if found is None:
                scope_class = self.scopes.unknown_class()
                why = f"the prefix /{client.prefix} spans places with different orders"
                return Located(client, Location(None, why=why), scope_class, 0, 0, spans=True)
        scope_class = self.scopes.class_of(location_id, asn)
        return Located(client, self.places.locations[location_id], scope_class, matched, asn)

    def scope_class(self, client: Client) -> int:
        """The scope class of a client: what locate finds, without the rest."""
        version = client.version
        if client.prefix < _BITS[version]:
            return self.locate(client).scope_class
        location_id = self.places.find(version, client.address)[0]
        if self._asks_asn:
            asn = self.places.find_asn(version, client.address)[0]
            return self.scopes.class_of(location_id, asn)
        return self.scopes.class_of(location_id)

    def ecs_scope(self, client: Client) -> int:
        """SCOPE PREFIX-LENGTH for a client (RFC 7871 section 7.2.1), in the family it came in.

        The length of the largest block around the client that has one scope class
        throughout; the source prefix itself where that already spans several.
        """
        bits = _BITS[client.version]
        runs = self._runs(client.version)
        if client.prefix < bits and (
            class_of_block(runs.class_at, client.address, client.last) is None
        ):
            return client.offset + client.prefix
        return client.offset + uniform_length(runs.class_at, client.address, bits)

    def warm(self) -> None:
        """Make now what the first ECS query would have to wait for."""
        for version in _BITS:
            self._runs(version)

    def flat_runs(self) -> tables.Runs | None:
        """Where scope classes begin, for the fast path; None where AS numbers matter."""
        four, six = self._runs(4).columns(), self._runs(6).columns()
        if four is None or six is None:
            return None
        return tables.Runs(four[1], four[2], *six)

    def _runs(self, version: int) -> ClassRuns:
        runs = self._class_runs.get(version)
        if runs is None:
            runs = self._class_runs[version] = ClassRuns(self.places, self.scopes, version)
        return runs


class ClassRuns:
    """Where the scope classes lie in the address space of one IP version.

    Built when first asked for, by passing once over the place tables (some 0.1 s for a
    million segments); an answer is then two bisections.
    """

    def __init__(self, places: PlaceTable, scopes: Scopes, version: int) -> None:
        self._last = (1 << _BITS[version]) - 1
        rows: dict[tuple[int, ...], int] = {}
        row_of = [rows.setdefault(row, len(rows)) for row in scopes.rows]
        self._rows = list(rows)
        self._version = version
        runs = places.runs(version, row_of)
        if version == 6:
            # Clients in these are judged by the IPv4 address they carry, so that no block of
            # plain IPv6 clients may hold one of them.
            apart = len(self._rows)
            self._rows.append((APART,) * scopes.width)
            for network in EMBEDDING:
                runs = _set_apart(runs, *network, apart)
        self._places = _flat(version, runs)
        self._asns = None
        if scopes.asns:
            self._asns = _flat(version, places.asn_runs(version, scopes.columns))

    def class_at(self, address: int) -> tuple[int, int, int]:
        """The scope class at an address, and the first and last address of its run."""
        row, first, last = self._find(self._places, address)
        column = 0
        if self._asns is not None:
            column, first_asn, last_asn = self._find(self._asns, address)
            first, last = max(first, first_asn), min(last, last_asn)
        return self._rows[row][column], first, last

    def columns(self) -> tuple[array[int], array[int], array[int]] | None:
        """Upper (empty for IPv4) and lower starts, and classes; None where ASNs matter."""
        if self._asns is not None:
            return None
        upper, lower, values = self._places
        return upper, lower, array("I", [self._rows[row][0] for row in values])

    def _find(self, runs: _Flat, address: int) -> tuple[int, int, int]:
        upper, lower, values = runs
        if self._version == 4:
            at = bisect_right(lower, address) - 1
            last = lower[at + 1] - 1 if at + 1 < len(lower) else self._last
            return values[at], lower[at], last
        at = last_at_most(upper, lower, address)
        first = upper[at] << 64 | lower[at]
        if at + 1 == len(lower):
            return values[at], first, self._last
        return values[at], first, (upper[at + 1] << 64 | lower[at + 1]) - 1


def _set_apart(runs: Runs, first: int, last: int, value: int) -> Runs:
    """The runs, but with a value of its own for the addresses from first to last."""
    starts, values = runs
    begin = bisect_left(starts, first)
    behind = bisect_right(starts, last + 1) - 1
    end = bisect_right(starts, last + 1)
    after = values[behind]
    starts = [*starts[:begin], first, last + 1, *starts[end:]]
    return starts, [*values[:begin], value, after, *values[end:]]


_Flat = tuple["array[int]", "array[int]", "array[int]"]


def _flat(version: int, runs: Runs) -> _Flat:
    """Runs as arrays: a tenth of what a list of large integers takes."""
    starts, values = runs
    if version == 4:
        return array("Q"), array("I", starts), array("I", values)
    upper = array("Q", [start >> 64 for start in starts])
    lower = array("Q", [start & 0xFFFFFFFFFFFFFFFF for start in starts])
    return upper, lower, array("I", values)
