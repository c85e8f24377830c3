from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.errors import InputFaults
from geodns.locate.geofeed import Row, flatten, read_geofeed

FILE = Path("feed.csv")


def rows(text: str | bytes) -> tuple[Row, ...]:
    data = text if isinstance(text, bytes) else text.encode()
    return read_geofeed(FILE, data, 0.0).rows


def faults(text: str | bytes) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(InputFaults) as caught:
        rows(text)
    assert all(fault.file == "feed.csv" for fault in caught.value.faults)
    return [(fault.line, fault.field, fault.message) for fault in caught.value.faults]


def test_a_feed_as_operators_write_it() -> None:
    found = rows(
        b"\xef\xbb\xbf# our networks\r\n\r\n"
        b"127.39.0.0/16,IT,IT-MI,Milano,20121\r\n"
        b"127.33.0.0/16,fr\r\n"
        b" 10.0.0.0/8 , US , us-ca ,,\r\n"
        b'192.0.2.1,DE,,"Frankfurt, #1",\r\n'
        b"2001:db8::/32,,,,  # nobody should guess\n"
        b"198.51.100.0/24,ZZ,,,"
    )
    assert [(row.country, row.subdivisions, row.length, row.line) for row in found] == [
        ("IT", ("IT-MI",), 16, 3),
        ("FR", (), 16, 4),
        ("US", ("US-CA",), 8, 5),
        ("DE", (), 32, 6),
        (None, (), 32, 7),
        (None, (), 24, 8),
    ]
    assert [row.why for row in found if not row.country] == ["record without a country"] * 2
    assert found[0].first == int(ip_address("127.39.0.0"))
    assert found[0].last == int(ip_address("127.39.255.255"))


def test_all_bad_lines_are_told_at_once() -> None:
    found = faults(
        "127.39.0.1/16,IT\n"
        "127.33.0.0/16,UK\n"
        "ok,IT\n"
        "10.0.0.0/8,IT,US-CA\n"
        "10.1.0.0/16,,US-CA\n"
        "10.2.0.0/16,US,US-ZZZ\n"
        "10.3.0.0/16,EU\n"
        "10.4.0.0/16,IT\n"
        "10.4.0.0/16,FR\n"
        "10.5.0.0/16,IT,,,,,\n"
        ",IT\n"
        "10.6.0.0/16,IT,DE\n"
        "fe80::1%eth0,IT\n"
    )
    assert [(line, field) for line, field, _ in found] == [
        (1, "prefix"),
        (2, "country"),
        (3, "prefix"),
        (4, "region"),
        (5, "region"),
        (6, "region"),
        (7, "country"),
        (9, "prefix"),
        (10, "line"),
        (11, "prefix"),
        (12, "region"),
        (13, "prefix"),
    ]
    said = {line: message for line, _, message in found}
    assert said[1] is not None and "127.39.0.0/16?" in said[1]
    assert "'UK'" in said[2] and "GB" in said[2]
    assert "line 8" in said[9]


@pytest.mark.parametrize(
    "network", ["::ffff:10.0.0.0/104", "2002:a00::/24", "64:ff9b::a00:0/104", "2001::/32"]
)
def test_networks_of_embedded_addresses_would_never_match(network: str) -> None:
    ((line, field, message),) = faults(f"{network},IT\n")
    assert (line, field) == (1, "prefix")
    assert "IPv4" in message


@pytest.mark.parametrize("network", ["2001:db8::/32", "2001::/23", "64:ff9b::/64", "::/0"])
def test_other_ipv6_networks_are_fine(network: str) -> None:
    assert len(rows(f"{network},IT\n")) == 1


def test_what_is_no_feed() -> None:
    assert faults(b"") != []
    assert faults(b"10.0.0.0/8,IT\n\xff\xfe\x00")[0][0] == 2
    assert len(faults("<html>\n" * 2000)) == 1001
    assert rows("# nothing yet\n") == ()


networks = st.builds(
    lambda bits, length: ip_network((bits << 24, length), strict=False),
    st.integers(0, 255),
    st.integers(0, 32),
)


@given(st.lists(networks, unique=True, max_size=12))
def test_flattening_is_longest_prefix(chosen: list[Any]) -> None:
    text = "".join(f"{network},IT\n" for network in chosen) or "#"
    flat = list(flatten(rows(text)))
    assert all(before[1] < after[0] for before, after in pairwise(flat))
    probes = {0, 0xFFFFFFFF}
    for network in chosen:
        for value in (int(network[0]), int(network[-1])):
            probes |= {value, max(value - 1, 0), min(value + 1, 0xFFFFFFFF)}
    for probe in probes:
        expected = max(
            (network for network in chosen if ip_address(probe) in network),
            key=lambda network: int(network.prefixlen),
            default=None,
        )
        got = [row for first, last, row in flat if first <= probe <= last]
        if expected is None:
            assert got == []
        else:
            assert [(row.first, row.length) for row in got] == [
                (int(expected[0]), expected.prefixlen)
            ]
