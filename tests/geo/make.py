"""Makes the small test databases of this folder: ``python -m tests.geo.make``.

The networks are invented. They are public addresses, so that nothing treats them as special;
what they are good for is said beside them. Tests also use ``write_mmdb`` for databases of
their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter, SearchTreeNode, TreeWriter
from netaddr import IPSet

FOLDER = Path(__file__).parent
BUILT = 1_780_000_000  # 2026-05-28 20:26:40 UTC
Rows = Iterable[tuple[str, Any]]


def write_mmdb(
    path: Path,
    rows: Rows,
    *,
    database_type: str = "Test-Country",
    ip_version: int = 6,
    record_size: int = 24,
    aliases: Sequence[str] = (),
    built: int = BUILT,
) -> Path:
    """Write networks (text) with their records; more specific networks win.

    aliases: IPv6 networks whose node is the root of the IPv4 tree, as MaxMind does it.
    """
    writer = MMDBWriter(
        ip_version, database_type, ["en"], "geodns test", ipv4_compatible=ip_version == 6
    )
    for network, record in sorted(rows, key=lambda row: ip_network(row[0]).prefixlen):
        writer.insert_network(IPSet([network]), record)
    for alias in aliases:
        _set_node(writer.tree, alias, _node(writer.tree, "::/96"))
    meta = writer._build_meta() | {"build_epoch": built}
    tree = TreeWriter(writer.tree, meta)
    tree._adjust_record_size = lambda: _fix_record_size(tree, record_size)  # type: ignore
    tree.write(str(path))
    return path


def _fix_record_size(tree: TreeWriter, bits: int) -> None:
    assert math.log2(tree._node_counter + tree._data_pointer + 1) < bits
    tree.record_size = bits
    tree.data_offset = bits * tree._node_counter / 4


def _bits(network: str) -> list[int]:
    parsed = ip_network(network)
    return [int(parsed.network_address) >> 127 - at & 1 for at in range(parsed.prefixlen)]


def _node(tree: SearchTreeNode, network: str) -> Any:
    node: Any = tree
    for bit in _bits(network):
        node = node[bit]
    return node


def _set_node(tree: SearchTreeNode, network: str, target: Any) -> None:
    node: Any = tree
    *path, last = _bits(network)
    for bit in path:
        node = node.get_or_create(bit)
    node[last] = target


def maxmind(
    country: str | None,
    *,
    registered: str | None = None,
    represented: str | None = None,
    subdivisions: Sequence[str] = (),
    continent: str = "EU",
) -> dict[str, Any]:
    """A record in MaxMind's Country or City schema."""
    record: dict[str, Any] = {"continent": {"code": continent}}
    if country is not None:
        record["country"] = {"iso_code": country, "names": {"en": f"Country {country}"}}
    if registered or country:
        record["registered_country"] = {"iso_code": registered or country}
    if represented:
        record["represented_country"] = {"iso_code": represented, "type": "military"}
    if subdivisions:
        record["subdivisions"] = [{"iso_code": code} for code in subdivisions]
    return record


COUNTRIES = {
    "IT": ("5.1.0.0/16", "2a01:100::/32"),
    "FR": ("5.2.0.0/16", "2a01:200::/32"),
    "DE": ("5.3.0.0/16", "2a01:300::/32"),
    "GB": ("5.4.0.0/16", "2a01:400::/32"),
    "BE": ("5.5.0.0/16", "2a01:500::/32"),
    "US": ("5.6.0.0/16", "2a01:600::/32"),
    "ES": ("5.16.0.0/16",),
    "PL": ("5.17.0.0/16",),
    "RU": ("5.18.0.0/16",),
    # Territories, small states and their neighbours: nobody belongs to anybody else.
    "SM": ("5.7.0.0/24", "5.1.7.0/24"),  # the second lies inside Italy's
    "VA": ("5.7.1.0/24",),
    "RE": ("5.7.2.0/24",),
    "GP": ("5.7.3.0/24",),
    "IM": ("5.7.4.0/24",),
    "JE": ("5.7.5.0/24",),
    "GG": ("5.7.6.0/24",),
    "GI": ("5.7.7.0/24",),
    "XK": ("5.7.8.0/24",),
    "PR": ("5.7.9.0/24",),
    "AX": ("5.7.10.0/24",),
    "GL": ("5.7.11.0/24",),
    "HK": ("5.7.12.0/24",),
    "NC": ("2a01:700::/32",),  # IPv6 only
}
TRAPS = [
    ("5.8.0.0/24", maxmind(None)),  # continent only: anycast, satellite
    ("5.8.1.0/24", maxmind(None, registered="RO")),
    ("5.8.2.0/24", maxmind("PH", represented="US")),
    ("5.4.128.0/17", maxmind("GB", registered="US")),
    ("5.8.3.0/24", maxmind("EU")),  # a code that is no country
]
FLAT_TRAPS = [
    ("5.9.0.0/24", {"country_code": "it"}),
    ("5.9.1.0/24", {"country_code": "ZZ"}),
    ("5.9.2.0/24", {"country_code": "EU"}),
    ("5.9.3.0/24", {"country_code": "AP"}),
    ("5.9.4.0/24", {"country_code": "A1"}),
    ("5.9.5.0/24", {"country_code": ""}),
    ("5.9.6.0/24", {"country": "FR"}),
]
CITIES = [
    ("5.6.0.0/17", maxmind("US", subdivisions=["CA"])),
    ("5.6.128.0/17", maxmind("US", subdivisions=["NY"])),
    ("5.4.0.0/17", maxmind("GB", subdivisions=["ENG", "WBK"])),
]
ASNS = {
    "5.1.0.0/17": 3269,
    "5.1.128.0/17": 4_200_000_000,
    "5.2.0.0/16": 3215,
    "5.3.0.0/16": 3320,
    "5.9.0.0/16": 3269,
    "2a01:100::/32": 3269,
}


def country_rows() -> list[tuple[str, Any]]:
    """MaxMind's Country schema: all countries and traps."""
    return [(net, maxmind(code)) for code, nets in COUNTRIES.items() for net in nets] + TRAPS


def flat_rows() -> list[tuple[str, Any]]:
    """Flat records: all countries and traps of codes."""
    rows = [(net, {"country_code": code}) for code, nets in COUNTRIES.items() for net in nets]
    return rows + FLAT_TRAPS


def city_rows() -> list[tuple[str, Any]]:
    """MaxMind's City schema."""
    return country_rows() + CITIES


def asn_rows() -> list[tuple[str, Any]]:
    """MaxMind's ASN schema."""
    return [
        (net, {"autonomous_system_number": asn, "autonomous_system_organization": f"AS {asn}"})
        for net, asn in ASNS.items()
    ]


def make(folder: Path) -> None:
    """Write country.mmdb, city.mmdb, asn.mmdb and flat.mmdb."""
    aliases = ("::ffff:0:0/96", "2002::/16", "2001::/32")
    write_mmdb(
        folder / "country.mmdb", country_rows(), database_type="Test-Country", aliases=aliases
    )
    write_mmdb(
        folder / "city.mmdb", city_rows(), database_type="Test-City", record_size=28,
        aliases=aliases,
    )  # fmt: skip
    write_mmdb(folder / "asn.mmdb", asn_rows(), database_type="Test-ASN", record_size=32)
    write_mmdb(folder / "flat.mmdb", flat_rows(), database_type="Test-Flat")


if __name__ == "__main__":
    make(FOLDER)
