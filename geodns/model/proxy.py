"""The PROXY protocol, version 2: what a proxy puts in front of a datagram or a connection.

Source: HAProxy's proxy-protocol.txt, section 2.2. Integers are in network order. Version 1, the
line of text, is not read: it has no form for datagrams.
"""

from __future__ import annotations

from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""The first octets of every header. No DNS message begins so, with a length before it or not."""
LARGEST = 4096
"""Octets of a header at most. Senders keep it below one segment; more is no header."""

_FIXED = 16
_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_ADDRESSES = {_UNSPEC: 0, _INET: 12, _INET6: 36, _UNIX: 216}
_TRANSPORTS = (0, 1, 2)
_WIDTH = {_INET: 4, _INET6: 16}


class NoHeader(ValueError):
    """The octets are not the beginning of a PROXY header."""


class BadHeader(ValueError):
    """The octets begin as a PROXY header and go on as none."""


class Header(NamedTuple):
    """A PROXY header. size: its octets, TLVs and all; what was sent comes behind them.

    source: the client's address, 4 or 16 octets; None where the sender speaks for itself (command
    LOCAL) or of an address that is neither IPv4 nor IPv6: the socket's peer is the client then.
    """

    size: int
    source: bytes | None


def read_header(data: bytes | bytearray) -> Header | None:
    """Read the header that ``data`` begins with; None if more octets are needed to tell.

    NoHeader or BadHeader where no further octet can make it one. TLVs are passed over unread;
    ports are not looked at.
    """
    if data[:12] != SIGNATURE[: len(data)]:
        raise NoHeader("no PROXY header")
    if len(data) < _FIXED:
        return None
    version, command = data[12] >> 4, data[12] & 15
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise BadHeader(f"version {version}, command {command}")
    length = data[14] << 8 | data[15]
    size = _FIXED + length
    if size > LARGEST:
        raise BadHeader(f"{size} octets")
    source = None
    if command == _PROXY:
        family, transport = data[13] >> 4, data[13] & 15
        if family not in _ADDRESSES or transport not in _TRANSPORTS:
            raise BadHeader(f"family {family}, transport {transport}")
        if length < _ADDRESSES[family]:
            raise BadHeader(f"{length} octets for an address of family {family}")
        if family in _WIDTH and transport:
            source = bytes(data[_FIXED : _FIXED + _WIDTH[family]])
    return Header(size, source) if len(data) >= size else None
