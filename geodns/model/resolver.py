"""Where an upstream resolver is and how it is spoken to, as operators write it."""

from __future__ import annotations

import re
import socket
from typing import Literal, NamedTuple

from geodns.model import name
from geodns.model.endpoint import EndpointFault, join_endpoint, parse_endpoint

Scheme = Literal["dns", "tls", "https"]
DEFAULT_PATH = "/dns-query"
_PORTS: dict[str, int] = {"dns": 53, "tls": 853, "https": 443}
# RFC 3986 section 3.3, without '@', behind which the address stands.
_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*)+\Z")


class Resolver(NamedTuple):
    """An upstream server. text: as parse_resolver takes it, in its usual form.

    sockaddr: as the socket module takes it. scheme: ``dns`` is UDP and TCP, ``tls`` RFC 7858,
    ``https`` RFC 8484. hostname: what its certificate must be for, a name or an address, empty
    for ``dns``. authority, path: of its URL, for ``https``.
    """

    text: str
    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]
    scheme: Scheme = "dns"
    hostname: str = ""
    authority: str = ""
    path: str = ""


def parse_resolver(text: str) -> Resolver:
    """Read ``ADDRESS[:PORT]``, ``tls://ADDRESS[:PORT][#HOSTNAME]`` or
    ``https://HOST[:PORT][/PATH][@ADDRESS]``.

    IPv6 addresses with a port stand in brackets. ADDRESS may be left out behind an HOST that is
    one; otherwise it is needed, since a resolver must not need itself to start. Raises
    EndpointFault that quotes the text and says why.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _resolver("dns", *_endpoint(text, text, "dns"))
    if scheme == "tls":
        where, _, hostname = rest.partition("#")
        host, port = _endpoint(where, text, "tls")
        shown = f"#{_hostname(hostname, text)}" if hostname else ""
        return _resolver("tls", host, port, shown[1:] or host, shown=shown)
    if scheme == "https":
        return _https(rest, text)
    raise EndpointFault(
        f"{text!r} has the unknown scheme {scheme!r}; write ADDRESS:PORT, tls:// or https://"
    )


def _https(rest: str, text: str) -> Resolver:
    url, _, pinned = rest.partition("@")
    authority, slash, path = url.partition("/")
    path = slash + path or DEFAULT_PATH
    if not _PATH.match(path):
        raise EndpointFault(
            f"{text!r} has the path {path!r}; write it without query, fragment or {{?dns}}"
        )
    literal = authority.startswith("[") or _is_address(authority.partition(":")[0])
    if literal:
        hostname, port = _endpoint(authority, text, "https")
        shown = join_endpoint(hostname, port)
    else:
        hostname, port = _host_and_port(authority, text)
        shown = f"{hostname}:{port}"
    if port == _PORTS["https"]:
        shown = shown.removesuffix(":443")
    if not pinned and not literal:
        raise EndpointFault(
            f"{text!r} needs the address of its host behind @, such as "
            f"https://{shown}{path}@192.0.2.1"
        )
    address = _endpoint(pinned, text, "https", with_port=False)[0] if pinned else hostname
    behind = f"@{address}" if pinned else ""
    return _resolver(
        "https",
        address,
        port,
        hostname,
        authority=shown,
        path=path,
        written=f"https://{shown}{path}{behind}",
    )


def _resolver(
    scheme: Scheme,
    host: str,
    port: int,
    hostname: str = "",
    *,
    shown: str = "",
    authority: str = "",
    path: str = "",
    written: str = "",
) -> Resolver:
    prefix = "" if scheme == "dns" else f"{scheme}://"
    text = written or f"{prefix}{join_endpoint(host, port)}{shown}"
    if ":" in host:
        return Resolver(
            text, socket.AF_INET6, (host, port, 0, 0), scheme, hostname, authority, path
        )
    return Resolver(text, socket.AF_INET, (host, port), scheme, hostname, authority, path)


def _endpoint(where: str, text: str, scheme: Scheme, *, with_port: bool = True) -> tuple[str, int]:
    try:
        host, port = parse_endpoint(where, _PORTS[scheme])
    except EndpointFault as fault:
        if where == text:
            raise
        raise EndpointFault(f"{text!r}: {fault}") from None
    if port == 0:
        raise EndpointFault(f"{text!r} has the port 0, where nobody can be asked")
    if not with_port and not _is_address(where.strip("[]")):
        raise EndpointFault(f"{text!r} has a port behind @; write it behind the host")
    return host, port


def _host_and_port(authority: str, text: str) -> tuple[str, int]:
    host, colon, digits = authority.partition(":")
    hostname = _hostname(host, text)
    if not colon:
        return hostname, _PORTS["https"]
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) <= 65535):
        raise EndpointFault(f"{text!r} has the port {digits!r}; ports are 1 to 65535")
    return hostname, int(digits)


def _hostname(text: str, whole: str) -> str:
    if _is_address(text):
        return parse_endpoint(text, 0)[0]
    try:
        return name.to_text(name.parse(text))
    except name.NameFault as fault:
        raise EndpointFault(f"{whole!r}: {fault}") from None


def _is_address(text: str) -> bool:
    try:
        parse_endpoint(text, 0)
    except EndpointFault:
        return False
    return ":" not in text or text.count(":") > 1
