"""Geofeeds (RFC 8805): an operator's own map of networks to places.

``prefix,country,region,city,postal``, one network a line; trailing fields may be left out,
``#`` starts a comment, private networks are welcome. A row without a country says that
nobody should guess where its clients are. Inside a feed the longest prefix wins.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from geodns.errors import Fault, InputFaults
from geodns.locate.client import Client, client_from_peer
from geodns.locate.country import MISSING, read_country
from geodns.model.place import PlaceFault, kind, parse_place

_FIELDS = ("prefix", "country", "region", "city", "postal")
_MOST_FAULTS = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One network of a feed.

    version: 4 or 6. first, last: its addresses as integers. length: its prefix length.
    country: ISO 3166-1 code, or None with the reason in ``why``. subdivisions: at most one
    ISO 3166-2 code. line: 1-based.
    """

    version: int
    first: int
    last: int
    length: int
    country: str | None
    subdivisions: tuple[str, ...]
    why: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Geofeed:
    """A whole feed. built: when the file was last changed, seconds since 1970. edition:
    SHA-256 of the file, hexadecimal."""

    path: Path
    built: float
    edition: str
    rows: tuple[Row, ...]


def read_geofeed(path: Path, data: bytes, built: float) -> Geofeed:
    """Read a feed's octets. Raises InputFaults with all bad lines at once.

    A byte order mark and any line ends are fine. Faults: what is no network, bits set past
    the prefix, a network listed twice, unassigned country and region codes, a region of
    another country, more than five fields, a file that is empty or no UTF-8.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = data.count(b"\n", 0, error.start) + 1
        raise InputFaults([Fault("this is no UTF-8 text", str(path), bad)]) from None
    if not data:
        raise InputFaults([Fault("the geofeed is empty; not even a comment is in it", str(path))])
    rows: list[Row] = []
    faults: list[Fault] = []
    seen: dict[tuple[int, int, int], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.split("#", 1)[0].strip():
            continue
        try:
            row = _row(line, number)
            other = seen.setdefault((row.version, row.first, row.length), number)
            if other != number:
                raise _Bad("prefix", f"{_network_text(row)} is listed in line {other} already")
            rows.append(row)
        except _Bad as bad:
            faults.append(Fault(str(bad), str(path), number, bad.field))
    if faults:
        more = len(faults) - _MOST_FAULTS
        if more > 0:
            faults[_MOST_FAULTS:] = [Fault(f"and {more} more faulty lines", str(path))]
        raise InputFaults(faults)
    return Geofeed(path, built, hashlib.sha256(data).hexdigest(), tuple(rows))


class _Bad(ValueError):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def _row(line: str, number: int) -> Row:
    fields = [field.strip() for field in _split(line)]
    if len(fields) > len(_FIELDS):
        raise _Bad("line", f"{len(fields)} fields; a geofeed line is {','.join(_FIELDS)}")
    prefix, country, region = (*fields, "", "")[:3]
    network = _network(prefix)
    place, why = _country(country)
    part = _region(region, place)
    return Row(
        version=network.version,
        first=int(network.network_address),
        last=int(network.broadcast_address),
        length=network.prefixlen,
        country=place,
        subdivisions=(part,) if part else (),
        why=why,
        line=number,
    )


def _split(line: str) -> list[str]:
    before, quote, _ = line.partition('"')
    if not quote or "#" in before:
        # A comment may follow the fields; inside a quoted city name "#" is a letter.
        return line.split("#", 1)[0].split(",")
    try:
        return next(csv.reader([line], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise _Bad("line", f"{line!r} is no CSV: {error}") from None


def _network(text: str) -> IPv4Network | IPv6Network:
    if not text:
        raise _Bad("prefix", "a line without a network")
    if "%" in text:
        raise _Bad("prefix", f"{text!r} has an interface scope; give the network only")
    try:
        network = ip_network(text)
    except ValueError:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise _Bad("prefix", f"{text!r} is no IP network") from None
        raise _Bad(
            "prefix", f"{text!r} has bits set past its prefix; did you mean {network}?"
        ) from None
    if network.version == 6 and network.prefixlen >= 16:
        client = client_from_peer(network.network_address.packed)
        if client.how is not None and _holds_embedded(network, client):
            raise _Bad(
                "prefix",
                f"{text!r} holds embedded IPv4 addresses ({client.how}); clients there are judged"
                " by their IPv4 address, so list that network",
            )
    return network


def _holds_embedded(network: IPv4Network | IPv6Network, client: Client) -> bool:
    return network.prefixlen >= {"6to4": 16, "teredo": 32}.get(client.how or "", 96)


def _country(text: str) -> tuple[str | None, str | None]:
    if not text or text.upper() == "ZZ":
        return None, MISSING
    place, _ = read_country(text)
    if place is None:
        try:
            parse_place(text)
        except PlaceFault as fault:
            raise _Bad("country", str(fault)) from None
        raise _Bad("country", f"{text!r} is no country; give an ISO 3166-1 alpha-2 code")
    return place, None


def _region(text: str, country: str | None) -> str | None:
    if not text:
        return None
    if country is None:
        raise _Bad("region", f"{text!r} is a region without a country")
    try:
        place = parse_place(text)
    except PlaceFault as fault:
        raise _Bad("region", str(fault)) from None
    if kind(place) != "subdivision":
        raise _Bad("region", f"{text!r} is no region; give an ISO 3166-2 code such as US-CA")
    if not place.startswith(country + "-"):
        raise _Bad("region", f"{text!r} is no region of {country}")
    return place


def _network_text(row: Row) -> str:
    kind_ = IPv4Network if row.version == 4 else IPv6Network
    return str(kind_((row.first, row.length)))


def flatten(rows: Iterable[Row]) -> Iterator[tuple[int, int, Row]]:
    """Cut the nested networks of one feed and IP version into disjoint ranges.

    Yields (first, last, row) in address order, where row is the longest prefix there.
    """
    stack: list[Row] = []
    cursor = 0
    for row in sorted(rows, key=lambda row: (row.first, row.length)):
        while stack and stack[-1].last < row.first:
            top = stack.pop()
            if cursor <= top.last:
                yield cursor, top.last, top
                cursor = top.last + 1
        if stack and cursor < row.first:
            yield cursor, row.first - 1, stack[-1]
        cursor = row.first
        stack.append(row)
    while stack:
        top = stack.pop()
        if cursor <= top.last:
            yield cursor, top.last, top
            cursor = top.last + 1
