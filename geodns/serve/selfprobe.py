"""Asking the running server whether an order is in force: over the wire, from two places.

The parent asks from an address of the loopback network that it makes up at its start and tells
only to its workers: they take PROXY headers from it (model/proxy.py), so that the query goes
the very way that one from the place itself goes, fast path and all.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Any, NamedTuple

from geodns.locate.client import client_from_proxy
from geodns.locate.table import PlaceTable
from geodns.model.message import HEADER, IN, A
from geodns.model.name import to_text
from geodns.model.proxy import SIGNATURE
from geodns.model.response import read_response
from geodns.orders.loaded import LoadedOrder
from geodns.serve.inforce import InForce, Located
from geodns.serve.sockets import Listener

TIMEOUT = 3.0
"""Seconds to wait for a reply."""
BELOW = b"\x05probe"
"""The label in front of a name of which only what is below it is ordered blocked."""
MOST_NAMES = 20
"""Targets of each sort that are tried; others may have precedence over the first ones."""
_BLOCKED = frozenset((15, 16, 17))
"""EDE codes of blocks (RFC 8914 section 4)."""
_ORDER = re.compile(r" \[([a-z0-9-]+)\]$")
_OPT = bytes.fromhex("00 0029 04d0 00000000 0000")
_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


class Vantage(NamedTuple):
    """From where is asked. address: packed; located: what the server must believe of it."""

    address: bytes
    located: Located

    @property
    def place(self) -> str:
        """Its subdivision, else its country, with the AS number if any order asks for one."""
        location, asn = self.located.location, self.located.asn
        place = location.subdivisions[0] if location.subdivisions else location.country
        return f"{place or 'unknown'}{f', AS{asn}' if asn else ''}"


class Plan(NamedTuple):
    """What is asked. name: wire format. outside: None for an order of the whole world."""

    name: bytes
    inside: Vantage
    outside: Vantage | None


class Outcome(NamedTuple):
    """What came back. order: the id of the order that the reply says blocks, if it says one."""

    rcode: str
    blocked: bool
    order: str | None


def secret_address() -> str:
    """An address of 127.0.0.0/8 that nobody else is likely to use."""
    return (
        f"127.{secrets.randbelow(192) + 64}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
    )


def reachable(listeners: Iterable[Listener]) -> tuple[str, int] | None:
    """Where the server can be asked from the IPv4 loopback; None if nowhere."""
    for listener in listeners:
        host, port = listener.address.host, listener.address.port
        if ip_address(host).version == 4:
            return ("127.0.0.1" if host == "0.0.0.0" else host), port
    return None


def vantages(in_force: InForce) -> list[Vantage]:
    """An address for each place that orders can tell apart."""
    found = dict.fromkeys(_addresses(in_force.places))
    if in_force.scopes.asns:
        found.update(dict.fromkeys(_of_networks(in_force)))
    return [Vantage(packed, in_force.locate(client_from_proxy(packed))) for packed in found]


def plan(in_force: InForce, loaded: LoadedOrder, places: Sequence[Vantage]) -> Plan | None:
    """What to ask about an order in force; None where no name of it shows that it is.

    That is so where it has networks only, or where others have precedence for all its names.
    """
    snapshot, rules = in_force.snapshot, in_force.rules
    everywhere = loaded.jurisdiction is None and not loaded.except_
    near = {loaded.place, *(loaded.jurisdiction or ())}
    nearest = sorted(places, key=lambda each: each.located.location.country not in near)
    best: Plan | None = None
    for name in _names(loaded):
        inside = outside = None
        for place in nearest:
            ruling, _ = rules.rule_question(name, place.located.scope_class)
            if not ruling.block:
                outside = outside or place
            elif snapshot.orders[ruling.order].id == loaded.order.id:
                inside = inside or place
            if inside is not None and (outside is not None or everywhere):
                return Plan(name, inside, outside)
        if inside is not None and best is None:
            best = Plan(name, inside, outside)
    return best


async def ask(server: tuple[str, int], source: str, name: bytes, claimed: bytes) -> Outcome:
    """Ask for the addresses of a name as a client at ``claimed`` (packed). Raises OSError."""
    ident = secrets.randbelow(1 << 16)
    query = HEADER.pack(ident, 0x0100, 1, 0, 0, 1) + name + bytes((0, A, 0, IN)) + _OPT
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.bind((source, 0))
        made.connect(server)
        await loop.sock_sendall(made, _proxied(claimed) + query)
        async with asyncio.timeout(TIMEOUT):
            while True:
                reply = await loop.sock_recv(made, 4096)
                if reply[:2] == query[:2] and reply[HEADER.size :].startswith(name):
                    return _read(reply)


async def verify(server: tuple[str, int], source: str, wanted: Plan, order: str) -> dict[str, Any]:
    """Ask what was planned: facts of the entry ``verified``, with ``why`` where it is not so."""
    facts: dict[str, Any] = {
        "name": to_text(wanted.name),
        "server": f"{server[0]}:{server[1]}",
        "inside": None,
        "outside": None,
    }
    for key, vantage, blocked in (
        ("inside", wanted.inside, True),
        ("outside", wanted.outside, False),
    ):
        if vantage is None:
            continue
        try:
            found = await ask(server, source, wanted.name, vantage.address)
        except (OSError, ValueError) as error:
            return {**facts, "why": f"{key}: {error or 'no reply in time'}"}
        facts[key] = {
            "place": vantage.place,
            "address": str(ip_address(vantage.address)),
            "rcode": found.rcode,
            "blocked": found.blocked,
        }
        if found.blocked != blocked or blocked and found.order not in (None, order):
            return {
                **facts,
                "why": f"{key}: {found.rcode}, {'' if found.blocked else 'not '}blocked",
            }
        if not blocked and found.rcode not in ("NOERROR", "NXDOMAIN"):
            return {**facts, "why": f"{key}: {found.rcode}, which is no answer"}
    return facts


def _names(loaded: LoadedOrder) -> Iterator[bytes]:
    # Not sliced: a list of a million names that lacks some would be made anew for it.
    yield from islice(loaded.exact, MOST_NAMES)
    yield from islice(loaded.domains, MOST_NAMES)
    for name in islice(loaded.below, MOST_NAMES):
        if len(name) + len(BELOW) <= 255:
            yield BELOW + name


def _addresses(places: PlaceTable) -> Iterator[bytes]:
    countries = {location.country for location in places.locations if location.country}
    for country in sorted(countries):
        for version, size in ((4, 4), (6, 16)):
            if (found := places.representative(country, version)) is not None:
                yield found.to_bytes(size)
                break
    if places.has_subdivisions:
        # One address of each location: pass once over all segments.
        starts, numbers = places.columns[:2]
        first: dict[int, int] = {}
        for at, number in enumerate(numbers):
            if number not in first:
                first[number] = starts[at]
        for number, location in enumerate(places.locations):
            if location.subdivisions and number in first:
                yield first[number].to_bytes(4)


def _of_networks(in_force: InForce) -> Iterator[bytes]:
    """An address of each AS number that orders name."""
    starts, numbers = in_force.places.columns[5:7]
    wanted = set(in_force.scopes.asns)
    for start, number in zip(starts, numbers, strict=True):
        if number in wanted:
            wanted.discard(number)
            yield start.to_bytes(4)


def _proxied(claimed: bytes) -> bytes:
    """A PROXY header, version 2: command PROXY, UDP."""
    here = bytes((127, 0, 0, 1)) if len(claimed) == 4 else bytes(15) + b"\x01"
    addresses = claimed + here + bytes(4)
    family = 0x12 if len(claimed) == 4 else 0x22
    return SIGNATURE + bytes((0x21, family)) + len(addresses).to_bytes(2) + addresses


def _read(reply: bytes) -> Outcome:
    response = read_response(reply)
    blocked, order = False, None
    for option in response.ede:
        if int.from_bytes(option[:2]) in _BLOCKED:
            blocked = True
            text = option[2:].decode("utf-8", "replace").rstrip("\0")
            order = found[1] if (found := _ORDER.search(text)) else None
    return Outcome(_RCODES.get(response.rcode, f"RCODE{response.rcode}"), blocked, order)
