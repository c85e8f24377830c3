"""Packets as octets on the fast path: what is read of a query, how replies are written."""

from __future__ import annotations

from dataclasses import dataclass

from geodns.fastpath.cookie import OPTION_COOKIE
from geodns.fastpath.tables import Kept, OrderReplies

OUR_SIZE = 1232
"""Our EDNS buffer and the largest UDP reply, octets."""
OPTION_EDE = 15
_BADCOOKIE = 23
_PLAIN_OPT = b"\0\0\x29" + OUR_SIZE.to_bytes(2, "big") + bytes(6)


@dataclass(frozen=True, slots=True)
class Ecs:
    """A valid ECS option of a query: address width in octets, address, prefix, octets sent."""

    width: int
    address: int
    source: int
    option: bytes


@dataclass(frozen=True, slots=True)
class Opt:
    """An OPT record: UDP size as sent, DO (0x80 or 0), where the data of the ECS option and of the
    first COOKIE option stand (offset, length)."""

    size: int
    dnssec_ok: int
    ecs: tuple[int, int] | None
    cookie: tuple[int, int] | None


def read_opt(packet: bytes, at: int, heeded: int = OPTION_EDE) -> Opt | None:
    """Read an OPT record that ends the packet; None if it wants thought.

    heeded: the code of an option that does, as EDE does in a query.
    """
    size = len(packet)
    if at + 11 > size or packet[at : at + 3] != b"\0\0\x29" or packet[at + 6]:
        return None
    told = packet[at + 3] << 8 | packet[at + 4]
    dnssec_ok = packet[at + 7] & 0x80
    if at + 11 + (packet[at + 9] << 8 | packet[at + 10]) != size:
        return None
    at += 11
    ecs = cookie = None
    while at + 4 <= size:
        code, length = packet[at] << 8 | packet[at + 1], packet[at + 2] << 8 | packet[at + 3]
        if code in (OPTION_EDE, heeded):
            return None
        if code == 8:
            if ecs is not None:
                return None
            ecs = at + 4, length
        elif code == OPTION_COOKIE and cookie is None:
            cookie = at + 4, length
        at += 4 + length
    return Opt(told, dnssec_ok, ecs, cookie) if at == size else None


def read_ecs(packet: bytes, at: int, length: int) -> Ecs | None:
    """Read ECS option data (RFC 7871 section 6); None where the pipeline must look at it."""
    if length < 4 or packet[at] or packet[at + 1] not in (1, 2) or packet[at + 3]:
        return None
    width, source = 4 if packet[at + 1] == 1 else 16, packet[at + 2]
    if source > 8 * width or length != 4 + (source + 7) // 8:
        return None
    if source % 8 and packet[at + length - 1] & 0xFF >> source % 8:
        return None
    address = int.from_bytes(packet[at + 4 : at + length].ljust(width, b"\0"), "big")
    return Ecs(width, address, source, packet[at - 4 : at + length])


def _opt(opt: bytes, dnssec_ok: int, extra: bytes, cookie: bytes) -> bytes:
    """An OPT record with the DO bit, and one more option in front of its own, one behind."""
    size = (opt[9] << 8 | opt[10]) + len(extra) + len(cookie)
    return opt[:7] + bytes((dnssec_ok, opt[8], size >> 8, size & 0xFF)) + extra + opt[11:] + cookie


def write_block(
    packet: bytes,
    end: int,
    edns: int,
    dnssec_ok: int,
    extra: bytes,
    cookie: bytes,
    limit: int,
    qtype: int,
    target: int,
    replies: OrderReplies,
) -> bytes | None:
    """The reply to a query whose question ends at ``end``; None if it does not fit in limit.

    dnssec_ok: 0x80 or 0. extra: an encoded EDNS option in front of the order's; cookie: one
    behind it. target: where the order's name begins in the queried name, octets.
    """
    variant = 0 if qtype == 1 else 1 if qtype == 28 else 2
    template = replies.templates[variant]
    records = template.records
    if template.owner:
        records = (0xC00C + target).to_bytes(2, "big") + records[2:]
    opt = b""
    if edns:
        opt = _opt(replies.opt, dnssec_ok, extra, cookie)
        if end + len(records) + len(opt) > limit:
            opt = _opt(replies.short, dnssec_ok, extra, cookie)
    if end + len(records) + len(opt) > limit:
        return None
    head = bytes(
        (
            *packet[:2],
            0x80 | packet[2] & 1,
            0x80 | packet[3] & 0x10 | template.rcode,
            *(0, 1, 0, template.answers, 0, template.authorities, 0, 1 if edns else 0),
        )
    )
    return head + packet[12:end] + records + opt


def write_kept(
    packet: bytes,
    end: int,
    edns: int,
    dnssec_ok: int,
    extra: bytes,
    cookie: bytes,
    limit: int,
    kept: Kept,
    now: float,
) -> bytes | None:
    """A kept answer as the reply to a query (see write_block), its TTLs counted down to now."""
    opt = _opt(_PLAIN_OPT, dnssec_ok, extra, cookie) if edns else b""
    if len(kept.packet) + len(opt) > limit:
        return None
    out = bytearray(kept.packet)
    asked = packet[3] & 0x20 or dnssec_ok
    out[0:2] = packet[:2]
    out[2] = 0x80 | packet[2] & 1
    out[3] = 0x80 | packet[3] & 0x10 | out[3] & 0xF | (0x20 if kept.authentic and asked else 0)
    out[12 : end - 4] = packet[12 : end - 4]
    elapsed = int(now - kept.stored)
    if elapsed > 0:
        for at in kept.ttl_offsets:
            ttl = int.from_bytes(out[at : at + 4], "big")
            left = ttl - elapsed if elapsed < ttl <= 0x7FFFFFFF else 0
            out[at : at + 4] = left.to_bytes(4, "big")
    if opt:
        additional = (out[10] << 8 | out[11]) + 1
        out[10], out[11] = additional >> 8 & 0xFF, additional & 0xFF
        out += opt
    return bytes(out)


def write_slip(packet: bytes, end: int, edns: int, dnssec_ok: int, cookie: bytes) -> bytes:
    """What a query gets whose reply is held back, and that may prove itself (see write_block).

    TC, so that it asks again over TCP; BADCOOKIE (RFC 7873 section 5.2.3) if it sent a cookie.
    """
    cut, rcode = (0, _BADCOOKIE) if cookie else (0x02, 0)
    head = bytes(
        (
            *packet[:2],
            0x80 | cut | packet[2] & 1,
            0x80 | packet[3] & 0x10 | rcode & 0xF,
            *(0, 1, 0, 0, 0, 0, 0, 1 if edns else 0),
        )
    )
    if not edns:
        return head + packet[12:end]
    opt = _opt(_PLAIN_OPT, dnssec_ok, b"", cookie)
    return head + packet[12:end] + opt[:5] + bytes((rcode >> 4,)) + opt[6:]
