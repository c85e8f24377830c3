"""Place tables against a naive oracle: longest prefix of each source, then the sources' order."""

from __future__ import annotations

import tempfile
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.locate.build import build_places
from geodns.locate.special import is_special
from geodns.locate.table import PlaceTable
from tests.geo.make import maxmind, write_mmdb

MISSING = "record without a country"

# A few bits of address space, so that networks nest and touch.
v4 = st.builds(
    lambda bits, length: str(ip_network(((5 << 24) | (bits << 20), length), strict=False)),
    st.integers(0, 15),
    st.integers(1, 32),
)
v6 = st.builds(
    lambda bits, low, length: str(
        ip_network(((0x2A01 << 112) | (bits << 100) | (low << 60), length), strict=False)
    ),
    st.integers(0, 15),
    st.integers(0, 15),
    st.integers(16, 128),  # shorter ones would cover ::/96, where MMDB files keep IPv4
)
network = v4 | v6
record = st.builds(
    lambda country, parts: maxmind(country, registered="RO", subdivisions=parts),
    st.sampled_from(["IT", "US", "SM", "EU", None]),
    st.sampled_from([(), ("CA",), ("NY",), ("25", "MI")]),
) | st.builds(lambda code: {"country_code": code}, st.sampled_from(["IT", "us", "ZZ", ""]))
asn_record = st.builds(lambda n: {"autonomous_system_number": n}, st.integers(0, 3))
database = st.tuples(
    st.dictionaries(network, record, min_size=1, max_size=8) |
    st.dictionaries(network, asn_record, min_size=1, max_size=8),
    st.sampled_from([24, 28, 32]),
)  # fmt: skip
row = st.sampled_from([("IT", ""), ("US", "US-CA"), ("US", ""), ("", ""), ("SM", ""), ("it", "")])
feed = st.dictionaries(network, row, max_size=6)


def longest(rows: dict[str, Any], address: Any) -> tuple[str | None, Any]:
    best = None
    for text in rows:
        candidate = ip_network(text)
        if candidate.version == address.version and address in candidate:
            best = max(best or text, text, key=lambda net: ip_network(net).prefixlen)
    return best, rows.get(best) if best else None


def code_of(raw: dict[str, Any]) -> str | None:
    code = raw["country"]["iso_code"] if "country" in raw else raw.get("country_code")
    code = (code or "").upper()
    return code if code in ("IT", "US", "SM") else None


def oracle(databases: Any, feeds: Any, address: Any) -> tuple[Any, ...]:
    """(country, subdivisions, AS number, prefix length)."""
    found: list[tuple[str | None, tuple[str, ...], int, bool]] = []
    for rows in feeds:
        net, value = longest(rows, address)
        if net is not None:
            country, region = value
            parts = (region,) if region else ()
            found.append((country.upper() or None, parts, ip_network(net).prefixlen, not country))
    asn = 0
    for rows, _ in databases:
        net, raw = longest(rows, address)
        if net is None:
            continue
        asn = asn or raw.get("autonomous_system_number", 0)
        if not any(code_of(other) for other in rows.values()):
            continue
        if is_special(address.version, int(address)):
            continue
        country = code_of(raw)
        parts = tuple(f"{country}-{part['iso_code']}" for part in raw.get("subdivisions", ()))
        found.append((country, parts if country else (), ip_network(net).prefixlen, False))
    for country, _, length, final in found:
        if final:
            return None, (), asn, length
        if country:
            parts = next((p for c, p, _, _ in found if p and c == country), ())
            return country, parts, asn, length
    return None, (), asn, found[0][2] if found else 0


def usable(rows: dict[str, Any]) -> bool:
    return any(code_of(raw) or raw.get("autonomous_system_number") for raw in rows.values())


def edges(*sources: Any) -> set[Any]:
    addresses = {ip_address("5.0.0.1"), ip_address("2a01::1"), ip_address("255.255.255.255")}
    for rows in sources:
        for text in rows:
            net = ip_network(text)
            for value in (net[0], net[-1]):
                addresses.add(value)
                for near in (int(value) - 1, int(value) + 1):
                    if 0 <= near < 1 << net.max_prefixlen:
                        addresses.add(type(value)(near))
    return addresses


@settings(max_examples=80, deadline=None)
@given(st.lists(database, max_size=3), st.lists(feed, min_size=0, max_size=2))
def test_every_address_is_where_the_oracle_says(databases: Any, feeds: Any) -> None:
    databases = [entry for entry in databases if usable(entry[0])]
    if not databases and not feeds:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [
            write_mmdb(folder / f"{at}.mmdb", rows.items(), record_size=size)
            for at, (rows, size) in enumerate(databases)
        ]
        feed_paths = []
        for at, rows in enumerate(feeds):
            lines = [f"{net},{country},{region},,\n" for net, (country, region) in rows.items()]
            feed_paths.append(folder / f"{at}.csv")
            feed_paths[-1].write_text("# feed\n" + "".join(lines))
        table = PlaceTable.open(build_places(paths, feed_paths, folder / "state"))
        # The first build spliced into what it had just kept; this one has nothing to start from.
        again = PlaceTable.open(build_places(paths, feed_paths, folder / "other"))
    assert table.edition == again.edition
    kinds = {True: 4, False: 6}
    used: dict[str, Any] = {}
    for rows, _ in databases:
        used |= dict.fromkeys(rows)
    for address in edges(used, *feeds):
        version = kinds[address.version == 4]
        number, first, last, length = table.find(version, int(address))
        assert first <= int(address) <= last
        assert table.find(version, first)[0] == table.find(version, last)[0] == number
        location = table.locations[number]
        asn, asn_first, asn_last = table.find_asn(version, int(address))
        assert asn_first <= int(address) <= asn_last
        country, parts, expected_asn, expected_length = oracle(databases, feeds, address)
        assert (location.country, location.subdivisions) == (country, parts), address
        assert asn == expected_asn
        # A tree cuts a network around more specific ones: then the pieces are what it has.
        assert length >= expected_length
        if number and location.source >= len(databases):
            assert length == expected_length
        if number:
            span = ip_network((int(first), length), strict=False)
            assert int(span[0]) <= first and last <= int(span[-1])
        assert (location.country is None) == (location.why is not None)
        assert again.find(version, int(address)) == (number, first, last, length)
