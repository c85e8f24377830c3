"""Which name a request is for."""

from __future__ import annotations

import pytest

from geodns.blockpage.host import HostFault, read_host
from tests.policy.making import wire


@pytest.mark.parametrize(
    ("text", "name", "shown"),
    [
        ("example.org", "example.org", "example.org"),
        ("EXAMPLE.org.", "example.org", "example.org"),
        ("example.org:8080", "example.org", "example.org"),
        ("example.org:", "example.org", "example.org"),
        ("localhost", "localhost", "localhost"),
        ("_x.example.org", "_x.example.org", "_x.example.org"),
        ("bücher.example", "xn--bcher-kva.example", "bücher.example"),
        ("xn--bcher-kva.example:80", "xn--bcher-kva.example", "bücher.example"),
        ("xn--.example", "xn--.example", "xn--.example"),
    ],
)
def test_names(text: str, name: str, shown: str) -> None:
    host = read_host(text)
    assert (host.name, host.ascii, host.shown) == (wire(name), name, shown)


@pytest.mark.parametrize("text", ["192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[::1]:8080"])
def test_addresses_are_no_names(text: str) -> None:
    assert read_host(text).name is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        ".",
        "a..b",
        "example.org:99999",
        "example.org:123456",
        "example.org:x",
        "user@example.org",
        "exa mple.org",
        "example.org/path",
        "*.example.org",
        "2001:db8::1",
        "[192.0.2.1]",
        "[2001:db8::1",
        "[fe80::1%25eth0]:80",
        "%65xample.org",
        "<script>.example",
        'a".example',
        "1.2.3",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "x" * 5000,
        "\x00.example",
        "a\u202eb.example",
    ],
)
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(HostFault):
        read_host(text)
