from __future__ import annotations

import socket
from itertools import islice

import pytest

from geodns.model.resolver import Resolver, parse_resolver
from geodns.upstream.channel import random_numbers


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", ("192.0.2.1:53", socket.AF_INET, ("192.0.2.1", 53))),
        ("192.0.2.1:5300", ("192.0.2.1:5300", socket.AF_INET, ("192.0.2.1", 5300))),
        ("::1", ("[::1]:53", socket.AF_INET6, ("::1", 53, 0, 0))),
        ("[::1]", ("[::1]:53", socket.AF_INET6, ("::1", 53, 0, 0))),
        (
            "[2001:DB8::1]:5300",
            ("[2001:db8::1]:5300", socket.AF_INET6, ("2001:db8::1", 5300, 0, 0)),
        ),
    ],
)
def test_servers_as_they_are_written(text: str, address: tuple[object, ...]) -> None:
    assert parse_resolver(text) == Resolver(*address)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dns.example.org",
        "dns.example.org:53",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:",
        "192.0.2.1:٥٣",
        "192.0.2.1:-1",
        "192.0.2.300:53",
        "[::1",
        "[::1]x",
        "[::1]:x",
        "[192.0.2.1]:x",
        "quic://192.0.2.1",
        "fe80::1%lo",
        "https://dns.example/",
    ],
)
def test_bad_servers_are_quoted(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_resolver(text)
    assert repr(text) in str(caught.value)


def test_random_numbers_fill_16_bits_and_never_run_out() -> None:
    numbers = list(islice(random_numbers(), 5000))
    assert 0 <= min(numbers) < 500
    assert 65000 < max(numbers) <= 65535
    assert len(set(numbers)) > 4500
    assert numbers != list(islice(random_numbers(), 5000))
