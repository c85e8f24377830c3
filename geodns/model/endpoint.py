"""Addresses as people write them: networks, and a host with a port."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


class EndpointFault(ValueError):
    """A text that is no address, network or endpoint; its message quotes it and says why."""


def parse_network(text: str) -> str:
    """Read an address or CIDR block; returns the canonical CIDR block (``192.0.2.1/32``).

    Raises EndpointFault for anything else, bits set past the prefix among it.
    """
    try:
        return str(ip_network(text))
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise EndpointFault(f"{text!r} is no IP address or CIDR block") from None
    raise EndpointFault(f"{text!r} has bits set past its prefix; {meant} was perhaps meant")


def parse_endpoint(text: str, default_port: int | None) -> tuple[str, int]:
    """Read ``192.0.2.1:53``, ``[2001:db8::1]:53`` or a bare address when a port is implied.

    Returns the canonical address and the port (0 to 65535). Raises EndpointFault for host
    names (a resolver must not need itself to start), and where no port is given or implied.
    """
    host, port_text = _split(text)
    if port_text is None:
        if default_port is None:
            raise EndpointFault(f"{text!r} has no port; write {join_endpoint(host, 53)}")
        port = default_port
    elif port_text.isascii() and port_text.isdigit() and int(port_text) <= 65535:
        port = int(port_text)
    else:
        raise EndpointFault(f"{text!r} has the port {port_text!r}; ports are 0 to 65535")
    return str(_address(host, text)), port


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise EndpointFault(f"{text!r} is no address with a port; write [2001:db8::1]:53")
        return host, rest[1:] if rest else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, None


def _address(host: str, text: str) -> IPv4Address | IPv6Address:
    if "%" in host:
        raise EndpointFault(f"{text!r} has an interface name after %, which is not supported")
    try:
        return ip_address(host)
    except ValueError:
        hint = "; write 127.0.0.1 or [::1]" if host == "localhost" else ""
        raise EndpointFault(
            f"{text!r} does not begin with an IP address (IPv6 in brackets){hint}"
        ) from None


def join_endpoint(host: str, port: int) -> str:
    """``192.0.2.1:53`` or ``[2001:db8::1]:53``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
