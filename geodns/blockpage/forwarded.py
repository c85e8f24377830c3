"""Which client an HTTP request is from, behind reverse proxies whose word is taken.

Each proxy appends the address it was asked from, so the fields are read from the right:
the first address that is no trusted proxy's is the client. What stands left of it
anybody can have written.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from geodns.locate.client import Client, Networks, client_from_peer

MOST_HOPS = 20
"""Proxies in a row that are looked through."""
UNKNOWN = Client(4, 0, 0, "forwarded")
"""A client of whom no bit of the address is known: each order's on_unknown decides."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(rf'\s*({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")\s*')
_QUOTED = re.compile(r"\\(.)")
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[0-9.]+)(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?\Z")


def client_of(
    peer: bytes, trusted: Networks, forwarded: Sequence[str], x_forwarded_for: Sequence[str]
) -> Client:
    """The client of a request. peer: packed address of the socket's peer.

    forwarded: values of the Forwarded fields (RFC 7239), in order; x_forwarded_for: of the
    X-Forwarded-For fields. They count only if the peer is trusted. Where both are there and
    tell different clients (a proxy writes one and passes on what it was sent of the other),
    and where the deciding one cannot be read, the client is UNKNOWN.
    """
    if peer not in trusted or not (forwarded or x_forwarded_for):
        return client_from_peer(peer)
    told = []
    if forwarded:
        told.append(_rightmost(peer, trusted, _forwarded_nodes(forwarded)))
    if x_forwarded_for:
        told.append(_rightmost(peer, trusted, _listed_nodes(x_forwarded_for)))
    if None in told or len(set(told)) > 1:
        return UNKNOWN
    packed = told[0]
    assert packed is not None
    return replace(client_from_peer(packed), provenance="forwarded")


def _rightmost(peer: bytes, trusted: Networks, nodes: Iterator[str | None]) -> bytes | None:
    """The first address from the right that is not trusted, else the leftmost; None: unread."""
    packed = peer
    for hop, node in enumerate(nodes):
        found = _address(node)
        if found is None or hop == MOST_HOPS:
            return None
        packed = found
        if packed not in trusted:
            break
    return packed


def _listed_nodes(values: Sequence[str]) -> Iterator[str | None]:
    yield from (node.strip() for node in reversed(",".join(values).split(",")))


def _forwarded_nodes(values: Sequence[str]) -> Iterator[str | None]:
    """The ``for`` parameters from right to left; None for an element that has none."""
    elements = _forwarded_elements(",".join(values))
    yield from reversed(elements) if elements is not None else (None,)


def _forwarded_elements(text: str) -> list[str | None] | None:
    """The ``for`` of each element of a Forwarded value; None where it breaks the grammar."""
    found: list[str | None] = [None]
    at = 0
    while True:
        pair = _PAIR.match(text, at)
        if pair is None:
            return None
        if pair[1].lower() == "for":
            if found[-1] is not None:
                return None
            found[-1] = pair[2] if pair[2] is not None else _QUOTED.sub(r"\1", pair[3])
        at = pair.end()
        if at == len(text):
            return found
        if text[at] == ",":
            found.append(None)
        elif text[at] != ";":
            return None
        at += 1


def _address(node: str | None) -> bytes | None:
    """A node (RFC 7239 section 6) or an X-Forwarded-For entry, packed; None if it is hidden."""
    if node is None:
        return None
    if match := _WITH_PORT.match(node):
        node = match[1].strip("[]")
    if "%" in node:
        return None
    try:
        return ipaddress.ip_address(node).packed
    except ValueError:
        return None
