"""MMDB files: which network is where, read once into segments.

Reads MaxMind's Country, City, Enterprise and ASN schemas and flat records
(``{"country_code": "IT"}``), whatever the database calls itself. The search tree is walked
here on whole arrays, since asking for a million networks one object at a time takes ten
times as long; records and metadata are decoded by maxminddb, which bounds what a lying file
can cost. Format: MaxMind DB File Format Specification 2.0.
"""

from __future__ import annotations

import hashlib
import re
import sys
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from maxminddb import InvalidDatabaseError
from maxminddb.const import MODE_FD
from maxminddb.decoder import Decoder
from maxminddb.reader import Reader

from geodns.errors import DatabaseError
from geodns.locate.country import MISSING, read_country
from geodns.locate.segments import Segments
from geodns.model.place import MAX_ASN

_SEPARATOR = 16
_MARKER = b"\xab\xcd\xefMaxMind.com"
_SUBDIVISION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}\Z")
_OPENING = re.compile(r"^Error opening database file \(.*?\)\. ")
_STEP = 0xFFFF
# Nibbles of the middle octet of a 28-bit node.
_HIGH = bytes(value >> 4 for value in range(256))
_LOW = bytes(value & 15 for value in range(256))


@dataclass(frozen=True, slots=True)
class Record:
    """What one record says of its networks.

    country: ISO 3166-1 code or None; why: the reason when a database of countries names
    none here. subdivisions: ISO 3166-2 codes. asn: AS number, 0 if none.
    """

    country: str | None = None
    subdivisions: tuple[str, ...] = ()
    asn: int = 0
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Database:
    """A whole MMDB file in memory.

    records: what the values of ``tables`` (by IP version) point to; 0 is no record.
    kind, built, networks, edition, without_country, places: as in ``table.Source``.
    """

    path: Path
    kind: str
    database_type: str
    built: float
    edition: str
    networks: int
    without_country: int
    places: int
    records: tuple[Record, ...]
    tables: Mapping[int, Segments]

    @property
    def has_countries(self) -> bool:
        """Whether any record names a country."""
        return self.kind != "asn"

    @property
    def has_asn(self) -> bool:
        """Whether any record names an AS."""
        return any(record.asn for record in self.records)


def read_database(
    path: Path, data: bytes, progress: Callable[[int, int], None] | None = None
) -> Database:
    """Read an MMDB file's octets whole. ``progress`` gets (nodes walked, nodes in all).

    Raises DatabaseError, naming ``path``, if the file is damaged, lies about itself, is of
    another kind (no countries, no AS numbers) or is empty.
    """
    try:
        return _Reading(path, data, progress or (lambda done, total: None)).database()
    except DatabaseError:
        raise
    except (
        InvalidDatabaseError, ValueError, TypeError, KeyError, IndexError, AttributeError,
        ArithmeticError, RecursionError, MemoryError, OSError,
    ) as error:  # fmt: skip
        raise DatabaseError(f"{path}: this is no whole MMDB file ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    text = _OPENING.sub("", str(error)).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(".")


class _Reading:
    """The state of one reading."""

    def __init__(self, path: Path, data: bytes, progress: Callable[[int, int], None]) -> None:
        self.path = path
        self.data = data
        self.progress = progress
        self.data_end = data.rfind(_MARKER)
        if self.data_end < 0:
            raise ValueError("it has no metadata")
        start = self.data_end + len(_MARKER)
        if Decoder(data, start).decode(start)[1] > len(data):
            raise ValueError("its metadata is cut")
        meta = Reader(BytesIO(data), MODE_FD).metadata()
        self.type = str(meta.database_type)
        self.built = float(meta.build_epoch)
        self.nodes = int(meta.node_count)
        self.version = int(meta.ip_version)
        bits = int(meta.record_size)
        if bits not in (24, 28, 32) or self.version not in (4, 6) or self.nodes < 0:
            raise ValueError(f"record size {bits}, IP version {self.version}, {self.nodes} nodes")
        size = self.nodes * bits // 4
        self.data_start = size + _SEPARATOR
        if self.data_start > self.data_end:
            raise ValueError(f"{self.nodes} nodes do not fit into the file")
        self.tree = _unpack(data[:size], bits)
        self.decoder = Decoder(data, self.data_start)
        self.records: list[Record] = [Record()]
        self.counts = [0]
        self.by_pointer: dict[int, int] = {self.nodes: 0}
        self.by_record: dict[Record, int] = {}
        self.maxmind = self.strings = False
        self.visited = 0

    def database(self) -> Database:
        tables = {4: Segments.empty(4), 6: Segments.empty(6)}
        if self.version == 4:
            tables[4] = self._walk(4, 0, -1)
        else:
            start = 0
            for _ in range(96):
                if start >= self.nodes:
                    break
                start = self.tree[2 * start]
            tables[4] = self._walk(4, start, -1)
            # Aliases of the IPv4 tree (::ffff:0:0/96, 2002::/16 ...) lead to the same node:
            # clients there are judged by their IPv4 address, which has its own table.
            tables[6] = self._walk(6, 0, start if start < self.nodes else -1)
        self.progress(self.nodes, self.nodes)
        countries = {record.country for record in self.records if record.country}
        parts = {part for record in self.records for part in record.subdivisions}
        networks = sum(self.counts)
        if not networks:
            raise DatabaseError(f"{self.path}: the database {self.type!r} holds no networks")
        if countries:
            self.records = [
                record if record.country or not at else
                Record(None, (), record.asn, record.why or MISSING)
                for at, record in enumerate(self.records)
            ]  # fmt: skip
        elif not any(record.asn for record in self.records):
            raise DatabaseError(
                f"{self.path}: the records of the database {self.type!r} are"
                f" {'text' if self.strings else 'maps'} without a country or an AS number;"
                " give a Country, City or ASN database"
            )
        return Database(
            path=self.path,
            kind=self._kind(bool(countries), bool(parts)),
            database_type=self.type,
            built=self.built,
            edition=hashlib.sha256(self.data).hexdigest(),
            networks=networks,
            without_country=sum(
                count
                for record, count in zip(self.records, self.counts, strict=True)
                if countries and not record.country
            ),
            places=len(countries) + len(parts),
            records=tuple(self.records),
            tables=tables,
        )

    def _kind(self, countries: bool, parts: bool) -> str:
        if not countries:
            return "asn"
        if parts:
            return "city"
        return "country" if self.maxmind else "flat"

    def _walk(self, version: int, root: int, alias: int) -> Segments:
        """Turn the tree below ``root`` into segments; the node ``alias`` counts as empty."""
        tree, nodes, known, counts = self.tree, self.nodes, self.by_pointer, self.counts
        bits = 32 if version == 4 else 128
        found = Segments(version)
        append = found.append
        visited = self.visited
        # A tree is a tree: a file that reaches its nodes more often lies, and might never end.
        most = 2 * nodes + 2
        stack = [(root, 0, 0)]
        while stack:
            node, address, depth = stack.pop()
            while node < nodes:
                if node == alias and depth:
                    node = nodes
                    break
                if depth == bits or visited > most:
                    raise ValueError("the search tree has a loop")
                visited += 1
                if not visited & _STEP:
                    self.progress(min(visited, nodes), nodes)
                depth += 1
                node *= 2
                stack.append((tree[node + 1], address | 1 << bits - depth, depth))
                node = tree[node]
            value = known.get(node)
            if value is None:
                value = self._record(node)
            counts[value] += 1
            append(address, value, depth if value else 0)
        self.visited = visited
        counts[0] = 0
        return found

    def _record(self, pointer: int) -> int:
        """Decode the record that a tree pointer leads to; return its index."""
        offset = pointer - self.nodes - _SEPARATOR + self.data_start
        if not self.data_start <= offset < self.data_end:
            raise ValueError("a pointer leads out of the file")
        raw, _ = self.decoder.decode(offset)
        if isinstance(raw, dict):
            record = self._read(raw)
        else:
            self.strings = True
            record = Record()
        index = self.by_record.get(record)
        if index is None:
            index = self.by_record[record] = len(self.records)
            self.records.append(record)
            self.counts.append(0)
        self.by_pointer[pointer] = index
        return index

    def _read(self, raw: dict[str, Any]) -> Record:
        """Only ``country`` says where a client is: not registered_country, not
        represented_country, not continent."""
        country = raw.get("country")
        if isinstance(country, dict):
            self.maxmind = True
            code = country.get("iso_code")
        else:
            code = raw.get("country_code", country)
        place, why = read_country(code)
        return Record(place, _subdivisions(place, raw.get("subdivisions")), _asn(raw), why)


def _unpack(tree: bytes, bits: int) -> array[int]:
    """The search tree as one array: left and right record of node 0, of node 1, ..."""
    flat = bytearray(len(tree) * 8 // bits * 4)
    if bits == 24:
        flat[0::4], flat[1::4], flat[2::4] = tree[2::3], tree[1::3], tree[0::3]
    elif bits == 28:
        flat[0::8], flat[1::8], flat[2::8] = tree[2::7], tree[1::7], tree[0::7]
        flat[3::8] = tree[3::7].translate(_HIGH)
        flat[4::8], flat[5::8], flat[6::8] = tree[6::7], tree[5::7], tree[4::7]
        flat[7::8] = tree[3::7].translate(_LOW)
    else:
        for octet in range(4):
            flat[octet::4] = tree[3 - octet :: 4]
    records = array("I", bytes(flat))
    if sys.byteorder == "big":
        records.byteswap()
    return records


def _subdivisions(country: str | None, raw: object) -> tuple[str, ...]:
    if country is None or not isinstance(raw, list):
        return ()
    codes = [part.get("iso_code") for part in raw if isinstance(part, dict)]
    found = (f"{country}-{code.strip().upper()}" for code in codes if isinstance(code, str))
    return tuple(code for code in found if _SUBDIVISION.match(code))


def _asn(raw: dict[str, Any]) -> int:
    traits = raw.get("traits")
    number = raw.get("autonomous_system_number")
    if number is None and isinstance(traits, dict):
        number = traits.get("autonomous_system_number")
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number <= MAX_ASN:
        return number
    return 0
