"""Whom a request behind reverse proxies is from."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from geodns.blockpage.forwarded import UNKNOWN, client_of
from geodns.locate.client import Networks

PROXIES = Networks(["192.0.2.0/24", "2001:db8:ff::/48"])


def found(
    peer: str, forwarded: list[str] | None = None, listed: list[str] | None = None
) -> str | None:
    client = client_of(ip_address(peer).packed, PROXIES, forwarded or [], listed or [])
    return None if client == UNKNOWN else client.text()


def test_others_are_not_believed() -> None:
    assert found("198.51.100.1", ["for=203.0.113.9"], ["203.0.113.9"]) == "198.51.100.1"


def test_a_proxy_that_says_nothing_is_the_client() -> None:
    assert found("192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
        (["198.51.100.7, 203.0.113.9, 192.0.2.8"], "203.0.113.9"),
        (["198.51.100.7", "203.0.113.9", "192.0.2.8,192.0.2.9"], "203.0.113.9"),
        (["nonsense, 203.0.113.9"], "203.0.113.9"),
        (["192.0.2.7, 192.0.2.8"], "192.0.2.7"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, ::ffff:192.0.2.8"], "203.0.113.9"),
        (["203.0.113.9, nonsense"], None),
        (["203.0.113.9, "], None),
        (["unknown"], None),
        ([""], None),
        (["fe80::1%eth0"], None),
        ([", ".join(["192.0.2.8"] * 40)], None),
    ],
)
def test_x_forwarded_for(values: list[str], client: str | None) -> None:
    assert found("192.0.2.1", listed=values) == client


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["for=203.0.113.9"], "203.0.113.9"),
        (["For=198.51.100.7;proto=http , FOR=203.0.113.9;by=192.0.2.9"], "203.0.113.9"),
        (['for="203.0.113.9:4711", for=192.0.2.8'], "203.0.113.9"),
        (['for="[2001:db8::9]:4711"', 'for="[2001:db8:ff::1]"'], "2001:db8::9"),
        (['for="203.0.113.9:_port"'], "203.0.113.9"),
        (['for="203.0\\.113.9";host="a,b;c"'], "203.0.113.9"),
        (["for=unknown, for=203.0.113.9"], "203.0.113.9"),
        (["for=203.0.113.9, for=unknown"], None),
        (["for=203.0.113.9, for=_hidden"], None),
        (["for=203.0.113.9, proto=http"], None),
        (["for=203.0.113.9;for=203.0.113.10"], None),
        (["203.0.113.9"], None),
        (['for="203.0.113.9'], None),
        (["for=[2001:db8::9]"], None),
        ([""], None),
    ],
)
def test_forwarded(values: list[str], client: str | None) -> None:
    assert found("192.0.2.1", values) == client


def test_two_fields_that_disagree_are_both_doubted() -> None:
    """A proxy that writes one field passes on the other as the client sent it."""
    assert found("192.0.2.1", ["for=203.0.113.9"], ["203.0.113.9"]) == "203.0.113.9"
    assert found("192.0.2.1", ["for=198.51.100.7"], ["203.0.113.9"]) is None


def test_a_mapped_peer_is_a_proxy_too() -> None:
    assert found("::ffff:192.0.2.1", listed=["203.0.113.9"]) == "203.0.113.9"


def test_provenance() -> None:
    client = client_of(ip_address("192.0.2.1").packed, PROXIES, [], ["203.0.113.9"])
    assert client.provenance == "forwarded"
