"""The snapshot: the compiled orders in force at an instant, as one flat little-endian file.

Layout (docs/snapshot.md draws it)::

    header    8 magic "geodnsS1" | u32 layout version | u32 number of sections
              u64 size of the whole file | 32 SHA-256 of all that follows the header
    directory one row a section: 8 name | u64 offset | u64 length in octets
    sections  each aligned to 8 octets

The SHA-256 is the file's name. The snapshot's digest is that of its content: see content_digest
in compile.py. Sections:

    orders    JSON: order records, reaches, next_change; base and dead of an amendment
    ruleat    u32 per rule + 1: where its items start;   items  u32: order << 8 | detail
    filter    a bit for the hash of each name, modulo their count (a power of two)
    buckets   u32 per bucket + 1;  nameat, rule  u32 per entry;  names  wire-format names
    net4, net4rule, net6high, net6low, net6rule    sorted disjoint segments of addresses
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import sys
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geodns.errors import SnapshotError
from geodns.fastpath.lookup import find_names, find_network4, find_network6
from geodns.fastpath.tables import Names, Networks, check_names
from geodns.model.language import UNDETERMINED
from geodns.model.ruling import Action

MAGIC = b"geodnsS1"
VERSION = 1
_HEADER = struct.Struct("<8sIIQ32s")
_ROW = struct.Struct("<8sQQ")

EXACT, DOMAIN, BELOW, EXEMPT, NEVER = range(5)
"""Details of a name item: which list of its order holds the name."""
NO_ORDER = 0xFFFFFF
"""The order of a NEVER item: the operator's emergency list belongs to none."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where and under which conditions an order has force.

    places: atoms (countries, subdivisions, ASNs), or None for global; except_: atoms carved
    out. block_unknown: force over clients that cannot be located. allow_stale: no force while
    the databases are older than the operator allows.
    """

    places: frozenset[str] | None
    except_: frozenset[str]
    block_unknown: bool
    allow_stale: bool

    @property
    def everywhere(self) -> bool:
        """Whether the location does not matter at all."""
        return self.places is None and not self.except_


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What an order lets the public know beside its record.

    text: the order's own sentence; None where the order discloses nothing. language: its BCP 47
    tag, ``und`` where nobody said. translations: (tag, text) of other languages. places, except_:
    the jurisdiction as written, places None = global. contact: mailto: and tel: URIs. url: a
    page about the order. incident: database and entry. issued, review: epoch seconds.
    """

    text: str | None = None
    language: str = UNDETERMINED
    translations: tuple[tuple[str, str], ...] = ()
    places: tuple[str, ...] | None = None
    except_: tuple[str, ...] = ()
    contact: tuple[str, ...] = ()
    url: str = ""
    incident: tuple[str, str] | None = None
    issued: float | None = None
    review: float | None = None


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """What serving and explaining need to know of one order in force.

    place: the authority's, as the folder says. jurisdiction: as written, for people.
    effective, expires: epoch seconds; timezone: IANA name, for showing them.
    ttl: seconds. ede: extended error code (RFC 8914). text: EXTRA-TEXT, UTF-8.
    addresses: sinkhole addresses, packed (4 or 16 octets, network byte order).
    """

    id: str
    place: str
    title: str
    shadow: bool
    authority: str
    authority_kind: str
    reference: str
    url: str
    legal_basis: str
    jurisdiction: str
    effective: float
    expires: float | None
    timezone: str
    reach: int
    action: Action
    ttl: int
    addresses: tuple[bytes, ...]
    ede: int
    text: str
    edition: str
    last_good: bool
    disclosed: Disclosed


def pack_snapshot(sections: Mapping[str, bytes]) -> bytes:
    """Join sections to the bytes of a snapshot file."""
    at = _HEADER.size + _ROW.size * len(sections)
    rows: list[bytes] = []
    parts: list[bytes] = []
    for name, data in sections.items():
        pad = -at % 8
        parts.append(b"\x00" * pad)
        parts.append(data)
        at += pad
        rows.append(_ROW.pack(name.encode("ascii"), at, len(data)))
        at += len(data)
    body = b"".join((*rows, *parts))
    digest = hashlib.sha256(body).digest()
    return _HEADER.pack(MAGIC, VERSION, len(sections), at, digest) + body


def write_snapshot(data: bytes, directory: Path) -> Path:
    """Write a snapshot into a directory under its SHA-256, whole or not at all."""
    digest = _HEADER.unpack_from(data)[4].hex()
    target = directory / f"{digest}.snapshot"
    if target.exists():
        return target
    directory.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".snapshot-")
    try:
        with os.fdopen(handle, "wb") as file:
            # Not synced to the disk: it is made anew at each start, and its digest tells
            # a torn file.
            file.write(data)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink()
        raise
    return target


class Snapshot:
    """A snapshot, ready for lookups. Immutable; swapped whole.

    orders: by order index. rank: the precedence of each (lower wins). reaches: by reach index.
    digest: names what is in force, in however many layers it is kept. file: the SHA-256 of
    this file. base: that of the snapshot which this one only amends (layers.py), or None.
    never: the operator's emergency list, names in hexadecimal.
    next_change: epoch seconds at which other orders are in force, or None.
    """

    def __init__(self, data: bytes | mmap.mmap, origin: str = "snapshot") -> None:
        """data: a whole snapshot file. Raises SnapshotError, naming origin, if it is not one."""
        sections = _read_sections(memoryview(data), origin)
        try:
            meta = json.loads(bytes(sections["orders"]))
            self.file: str = bytes(memoryview(data)[24:56]).hex()
            self.digest: str = meta["digest"]
            self.never: tuple[str, ...] = tuple(meta["never"])
            self.next_change: float | None = meta["next_change"]
            self.orders: tuple[OrderRecord, ...] = tuple(map(_order_record, meta["orders"]))
            self.reaches: tuple[Reach, ...] = tuple(map(_reach, meta["reaches"]))
            self.base: str | None = meta["base"]
            self._dead = frozenset(meta["dead"])
            self.rank: Sequence[int] = range(len(self.orders))
            self.names: int = meta["names"]
            self.networks: int = meta["networks"]
            self._rule_at = sections["ruleat"].cast("I")
            self._items = sections["items"].cast("I")
            self._buckets = sections["buckets"].cast("I")
            self._name_at = sections["nameat"].cast("I")
            self._rule = sections["rule"].cast("I")
            self._names = sections["names"]
            self._filter = sections["filter"]
            self._net4 = sections["net4"].cast("I"), sections["net4rule"].cast("I")
            self._net6 = (
                sections["net6high"].cast("Q"),
                sections["net6low"].cast("Q"),
                sections["net6rule"].cast("I"),
            )
            self._check()
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"{origin}: not a snapshot of this version: {error}") from None

    @classmethod
    def open(cls, path: Path) -> Snapshot:
        """Map a snapshot file read-only. Raises SnapshotError if it is damaged or foreign."""
        return cls(map_snapshot(path), str(path))

    def _check(self) -> None:
        """Raise ValueError where sections contradict each other: whoever wrote them lied."""
        check_names(self._index())
        if not len(self._rule_at) or self._rule_at[-1] != len(self._items):
            raise ValueError("the rules do not hold their items")
        if any(len({len(column) for column in each}) > 1 for each in (self._net4, self._net6)):
            raise ValueError("columns of a network table differ in length")
        if any(not 0 <= order.reach < len(self.reaches) for order in self.orders):
            raise ValueError("an order has no reach")

    @property
    def in_force(self) -> tuple[OrderRecord, ...]:
        """The orders in force, by precedence."""
        return self.orders

    @property
    def layers(self) -> tuple[Names, ...]:
        """The name indexes as the fast path takes them."""
        return (self._index(),)

    @property
    def network_layers(self) -> tuple[Networks, ...]:
        """The segments of order networks as the fast path takes them."""
        return (Networks(*self._net4, *self._net6),)

    def _index(self) -> Names:
        return Names(self._filter, self._buckets, self._name_at, self._rule, self._names)

    @property
    def rule_counts(self) -> tuple[int, ...]:
        """How many rules each layer has."""
        return (len(self._rule_at) - 1,)

    def name_rules(self, name: bytes) -> list[tuple[int, int]]:
        """(offset of the suffix in name, rule) for each indexed name at or above ``name``."""
        return find_names(name, self._buckets, self._name_at, self._rule, self._names, self._filter)

    def address_rule(self, packed: bytes) -> int:
        """The rule of the order networks that hold an address (4 or 16 octets), 0 = none."""
        address = int.from_bytes(packed, "big")
        if len(packed) == 4:
            return find_network4(address, *self._net4)
        return find_network6(address, *self._net6)

    def items(self, rule: int) -> list[tuple[int, int]]:
        """The (order index, detail) pairs of a rule; detail is a prefix length for networks."""
        start, end = self._rule_at[rule], self._rule_at[rule + 1]
        return [(item >> 8, item & 0xFF) for item in self._items[start:end]]


def map_snapshot(path: Path) -> mmap.mmap:
    """Map a file read-only. Raises SnapshotError."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{path}: cannot be read: {error}") from None


def _read_sections(view: memoryview, origin: str) -> dict[str, memoryview]:
    if len(view) < _HEADER.size or bytes(view[:8]) != MAGIC:
        raise SnapshotError(f"{origin}: not a snapshot")
    _, version, count, size, digest = _HEADER.unpack_from(view)
    if version != VERSION:
        raise SnapshotError(f"{origin}: layout version {version}, this program reads {VERSION}")
    if size != len(view) or hashlib.sha256(view[_HEADER.size :]).digest() != digest:
        raise SnapshotError(f"{origin}: damaged: size or checksum is wrong")
    sections: dict[str, memoryview] = {}
    for row in range(count):
        at = _HEADER.size + row * _ROW.size
        if at + _ROW.size > len(view):
            raise SnapshotError(f"{origin}: damaged: the directory is cut")
        name, offset, length = _ROW.unpack_from(view, at)
        if offset % 8 or offset + length > len(view):
            raise SnapshotError(f"{origin}: damaged: a section lies outside the file or askew")
        sections[name.rstrip(b"\x00").decode("ascii", "replace")] = view[offset : offset + length]
    return sections


def order_as_json(record: OrderRecord) -> dict[str, Any]:
    """The JSON form of an order record, as the ``orders`` section holds it."""
    raw = {field: getattr(record, field) for field in record.__dataclass_fields__}
    raw["addresses"] = [address.hex() for address in record.addresses]
    raw["disclosed"] = asdict(record.disclosed)
    return raw


def reach_as_json(reach: Reach) -> dict[str, Any]:
    """The JSON form of a reach, as the ``orders`` section holds it."""
    return {
        "places": None if reach.places is None else sorted(reach.places),
        "except": sorted(reach.except_),
        "block_unknown": reach.block_unknown,
        "allow_stale": reach.allow_stale,
    }


def _order_record(raw: dict[str, Any]) -> OrderRecord:
    addresses = tuple(bytes.fromhex(text) for text in raw.pop("addresses"))
    return OrderRecord(addresses=addresses, disclosed=_disclosed(raw.pop("disclosed")), **raw)


def _disclosed(raw: dict[str, Any]) -> Disclosed:
    lists = {key: tuple(value) for key, value in raw.items() if isinstance(value, list)}
    lists["translations"] = tuple(map(tuple, raw["translations"]))
    return Disclosed(**{**raw, **lists})


def _reach(raw: dict[str, Any]) -> Reach:
    places = None if raw["places"] is None else frozenset(raw["places"])
    return Reach(places, frozenset(raw["except"]), raw["block_unknown"], raw["allow_stale"])


def little_endian(values: array[int]) -> bytes:
    """The bytes of an integer array in little-endian order on any machine."""
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values.tobytes()
