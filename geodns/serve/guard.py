"""What the pipeline does against abuse: cookies, replies held back, a share of misses each.

And what replies owe to the EDNS options of such clients.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from geodns.fastpath import cookie, rate
from geodns.fastpath.guard import Guard
from geodns.fastpath.packet import write_slip
from geodns.fastpath.pure import FastPath
from geodns.fastpath.rate import RateLimits
from geodns.locate.client import Client, Networks
from geodns.model.message import (
    HEADER,
    OPTION_KEEPALIVE,
    Dropped,
    Malformed,
    Query,
    option,
    read_query,
)
from geodns.serve.fast import peers_of

_QUARTER = 4


def owe_cookie(query: Query, guard: Guard, peer: bytes, now: float) -> Query:
    """The query with the cookie that every reply to it carries back.

    guard: of the fast path. peer: packed address. now: monotonic seconds. Raises ValueError for
    a cookie of a size that none has (RFC 7873 section 4).
    """
    data = _cookie_in(query)
    if data is None or not guard.bakes:
        return query
    if not cookie.well_formed(len(data)):
        raise ValueError("a cookie of a size that none has")
    return query._replace(owed=guard.bake(data, peer, now)[0])


def owe_keepalive(query: Query, idle: float) -> Query:
    """The query of a TCP client; who asks is told for how many seconds it may idle (RFC 7828)."""
    if query.edns is None or all(code != OPTION_KEEPALIVE for code, _ in query.edns.options):
        return query
    told = option(OPTION_KEEPALIVE, min(int(idle * 10), 0xFFFF).to_bytes(2, "big"))
    return query._replace(owed=told + query.owed)


def hold_back(guard: Guard, packet: bytes, peer: bytes, told: bytes, now: float) -> bytes | None:
    """Charge a UDP reply to its client: the reply, a truncated one, or None for none.

    Who has a valid cookie is not charged. packet: the query.
    """
    try:
        query = read_query(packet)
    except Malformed:
        # A FORMERR is no larger than what asked for it, so it may slip as it is.
        return None if guard.charge(peer, told[3] & 0xF, now) == rate.HOLD else told
    data = _cookie_in(query)
    if data is not None and cookie.well_formed(len(data)):
        if guard.judge(data, peer, now) == cookie.VALID:
            return told
    else:
        data = None
    verdict = guard.charge(peer, told[3] & 0xF, now)
    if verdict == rate.PASS:
        return told
    if verdict == rate.HOLD:
        return None
    owed = b""
    if data is not None and told[-cookie.ENCODED :][4:12] == data[: cookie.CLIENT_SIZE]:
        owed = told[-cookie.ENCODED :]
    return _slip(packet, query, owed)


def hold_flood(guard: Guard, packet: bytes, peer: bytes, now: float) -> bytes | None:
    """Hold a query back before it is looked at, where its network asks far too much.

    None lets it pass; else what it gets: a truncated reply, or empty for none.
    """
    rcode = guard.flood(peer, now)
    if rcode < 0:
        return None
    try:
        query = read_query(packet)
    except (Dropped, Malformed):
        return None
    data = _cookie_in(query) if guard.bakes else None
    if data is not None and not cookie.well_formed(len(data)):
        return None
    if data is not None and guard.judge(data, peer, now) == cookie.VALID:
        return None
    if guard.charge(peer, rcode, now) != rate.SLIP:
        return b""
    owed = b"" if data is None else guard.bake(data, peer, now)[0]
    return _slip(packet, query, owed)


def _slip(packet: bytes, query: Query, owed: bytes) -> bytes:
    end = HEADER.size + len(query.name) + 4
    edns = query.edns is not None
    return write_slip(packet, end, edns, 0x80 if query.dnssec_ok else 0, owed)


async def hold_back_later(
    guard: Guard,
    packet: bytes,
    peer: bytes,
    awaited: Awaitable[bytes | None],
    clock: Callable[[], float],
) -> bytes | None:
    """The same for a reply that is still to come. clock: monotonic seconds."""
    told = await awaited
    return None if told is None else hold_back(guard, packet, peer, told, clock())


def _cookie_in(query: Query) -> bytes | None:
    """The data of the first COOKIE option; RFC 7873 section 5.2 has the others ignored."""
    if query.edns is None:
        return None
    return next((data for code, data in query.edns.options if code == cookie.OPTION_COOKIE), None)


def rates_of(limits: dict[str, Any]) -> RateLimits | None:
    """The limits on replies that [limits] sets; None if it sets none."""
    answers = limits["responses_per_second"]
    denials, errors = (
        answers if limits[key] is None else limits[key]
        for key in ("nxdomains_per_second", "errors_per_second")
    )
    if not (answers or denials or errors):
        return None
    return RateLimits(
        per_second=(answers, denials, errors),
        window=limits["rate_window"],
        slip=limits["rate_slip"],
        prefix4=limits["ipv4_prefix"],
        prefix6=limits["ipv6_prefix"],
        exempt=peers_of(Networks(limits["rate_exempt"])),
        only_count=limits["rate_only_count"],
    )


def share_out(fast: FastPath, limits: dict[str, Any]) -> None:
    """Let no client network have more than its share of the room for misses.

    So one client's random names cannot take all of it. limits: [limits] of the settings.
    """
    most = limits["client_misses"]
    if most is None:
        most = max(1, limits["misses"] // _QUARTER)
    fast.share(most, limits["ipv4_prefix"], limits["ipv6_prefix"])


def enter(fast: FastPath, client: Client) -> int:
    """Take a place for a client among those who wait: what ``fast.depart`` takes, -1 for none."""
    return fast.enter(client.address.to_bytes(4 if client.version == 4 else 16, "big"))
