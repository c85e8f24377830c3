from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from geodns.locate.client import (
    Client,
    Ecs,
    Networks,
    client_from_ecs,
    client_from_peer,
    read_ecs,
)


def peer(text: str) -> Client:
    return client_from_peer(ip_address(text).packed)


@pytest.mark.parametrize(
    ("text", "version", "address", "offset", "how"),
    [
        ("192.0.2.1", 4, "192.0.2.1", 0, None),
        ("2001:db8::1", 6, "2001:db8::1", 0, None),
        ("::ffff:192.0.2.1", 4, "192.0.2.1", 96, "mapped"),
        ("2002:c000:201:aaaa::5", 4, "192.0.2.1", 16, "6to4"),
        # RFC 4380 section 4, the example of its figures: the client is inverted.
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", 4, "192.0.2.45", 96, "teredo"),
        ("64:ff9b::c000:201", 4, "192.0.2.1", 96, "nat64"),
        # Near misses are plain IPv6.
        ("64:ff9b:1::c000:201", 6, "64:ff9b:1::c000:201", 0, None),
        ("::fffe:192.0.2.1", 6, "::fffe:c000:201", 0, None),
        ("::192.0.2.1", 6, "::c000:201", 0, None),
        ("2001:1::1", 6, "2001:1::1", 0, None),
        ("2003::1", 6, "2003::1", 0, None),
    ],
)
def test_embedded_addresses(
    text: str, version: int, address: str, offset: int, how: str | None
) -> None:
    client = peer(text)
    whole = 32 if version == 4 else 128
    assert client == Client(version, int(ip_address(address)), whole, "peer", offset, how)
    assert client.text() == address


def test_a_peer_has_4_or_16_octets() -> None:
    with pytest.raises(ValueError, match="5"):
        client_from_peer(b"12345")


def ecs(text: str, source: int) -> Client:
    packed = ip_address(text).packed
    return client_from_ecs(Ecs(1 if len(packed) == 4 else 2, source, 0, packed))


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("192.0.2.0", 24, Client(4, int(IPv4Address("192.0.2.0")), 24, "ecs")),
        ("0.0.0.0", 0, Client(4, 0, 0, "ecs")),
        ("::ffff:192.0.2.0", 120, Client(4, 0xC0000200, 24, "ecs", 96, "mapped")),
        ("64:ff9b::c000:200", 120, Client(4, 0xC0000200, 24, "ecs", 96, "nat64")),
        ("2002:c000:200::", 40, Client(4, 0xC0000200, 24, "ecs", 16, "6to4")),
        ("2002:c000:201::", 64, Client(4, 0xC0000201, 32, "ecs", 16, "6to4")),
        ("2002::", 16, Client(4, 0, 0, "ecs", 16, "6to4")),
        # The part of a Teredo address that says where the client is comes last.
        ("2001:0:4136:e378::", 64, Client(4, 0, 0, "ecs", 96, "teredo")),
        ("2001::8000:63bf:3fff:fd00", 120, Client(4, 0xC0000200, 24, "ecs", 96, "teredo")),
        # Too short to know that anything is embedded.
        ("::", 64, Client(6, 0, 64, "ecs")),
        ("2000::", 8, Client(6, 0x20 << 120, 8, "ecs")),
    ],
)  # fmt: skip
def test_truncated_addresses(text: str, source: int, expected: Client) -> None:
    client = ecs(text, source)
    assert client == expected
    assert (
        client.last
        >> (32 if client.version == 4 else 128) - client.prefix
        << ((32 if client.version == 4 else 128) - client.prefix)
        == client.address
    )
    if client.prefix < 32:
        assert client.text().endswith(f"/{client.prefix}")


def test_last_address_of_a_prefix() -> None:
    assert ecs("192.0.2.0", 24).last == int(IPv4Address("192.0.2.255"))
    assert peer("192.0.2.7").last == int(IPv4Address("192.0.2.7"))


@pytest.mark.parametrize(
    ("data", "family", "source", "address"),
    [
        ("0001 18 00 c00002", 1, 24, "c0000200"),
        ("0001 20 00 c0000201", 1, 32, "c0000201"),
        ("0001 00 00", 1, 0, "00000000"),
        ("0001 11 00 c00080", 1, 17, "c0008000"),
        ("0002 38 00 20010db8000000", 2, 56, "20010db8000000000000000000000000"),
        ("0002 00 00", 2, 0, "00" * 16),
        ("0000 00 00", 0, 0, ""),  # BIND's dig +subnet=0
    ],
)
def test_ecs(data: str, family: int, source: int, address: str) -> None:
    assert read_ecs(bytes.fromhex(data)) == Ecs(family, source, 0, bytes.fromhex(address))


@pytest.mark.parametrize(
    "data",
    [
        "",
        "000118",
        "0003 18 00 c00002",  # family
        "0000 08 00 c0",
        "0000 00 00 c0",
        "0001 21 00 c000020100",  # too long a prefix
        "0002 81 00 " + "20" * 17,
        "0001 18 00 c000",  # too few octets
        "0001 18 00 c0000200",  # too many
        "0001 00 00 c0",
        "0001 11 00 c00040",  # bits past the prefix
        "0001 18 18 c00002",  # scope in a query
    ],
)
def test_malformed_ecs(data: str) -> None:
    with pytest.raises(ValueError):
        read_ecs(bytes.fromhex(data))


def test_networks() -> None:
    networks = Networks(["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "::1"])
    inside = "10.0.0.0 10.255.255.255 192.0.2.7 ::ffff:10.2.3.4 2001:db8:f:: ::1"
    for text in inside.split():
        assert ip_address(text).packed in networks, text
    outside = "9.255.255.255 11.0.0.0 192.0.2.8 ::ffff:11.0.0.1 2001:db9:: :: 2002:a00::"
    for text in outside.split():
        assert ip_address(text).packed not in networks, text
    assert b"" not in networks
    assert networks
    assert not Networks([])
    assert b"\x0a\0\0\1" not in Networks([])


def test_mapped_networks_are_ipv4() -> None:
    networks = Networks(["::ffff:10.0.0.0/104"])
    assert ip_address("10.9.9.9").packed in networks
    assert ip_address("11.9.9.9").packed not in networks


def test_all_networks() -> None:
    assert ip_address("255.255.255.255").packed in Networks(["0.0.0.0/0"])
    assert ip_address("::2").packed not in Networks(["0.0.0.0/0"])
    assert ip_address("::2").packed in Networks(["::/0"])


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.org", "10.0.0.0/33", ""])
def test_what_is_no_network_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=repr(text).replace("/", "/")):
        Networks([text])
