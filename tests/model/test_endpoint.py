from __future__ import annotations

import pytest

from geodns.model.endpoint import EndpointFault, join_endpoint, parse_endpoint, parse_network


@pytest.mark.parametrize(
    ("text", "port", "result"),
    [
        ("192.0.2.1:53", None, ("192.0.2.1", 53)),
        ("192.0.2.1", 53, ("192.0.2.1", 53)),
        ("[2001:DB8::1]:5353", None, ("2001:db8::1", 5353)),
        ("[2001:db8::1]", 53, ("2001:db8::1", 53)),
        ("2001:db8::1", 53, ("2001:db8::1", 53)),
    ],
)
def test_endpoints(text: str, port: int | None, result: tuple[str, int]) -> None:
    assert parse_endpoint(text, port) == result
    assert parse_endpoint(join_endpoint(*result), None) == result


@pytest.mark.parametrize(
    "text",
    ["", ":53", "192.0.2.1:", "192.0.2.1:+5", "192.0.2.1:²", "192.0.2:53", "[::1]53", "a:53", "[]"],
)
def test_no_endpoints(text: str) -> None:
    with pytest.raises(EndpointFault) as caught:
        parse_endpoint(text, 53)
    assert repr(text) in str(caught.value)


def test_networks() -> None:
    assert parse_network("192.0.2.1") == "192.0.2.1/32"
    assert parse_network("2001:db8::/32") == "2001:db8::/32"
    with pytest.raises(EndpointFault, match=r"192\.0\.2\.0/24 was perhaps meant"):
        parse_network("192.0.2.1/24")
    with pytest.raises(EndpointFault, match="no IP address"):
        parse_network("192.0.2.0/33")
