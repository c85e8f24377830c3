"""A ruling and its grounds as facts: what explain and matrix print, JSON-ready."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from geodns.cli.ask import RCODES
from geodns.cli.locate import describe
from geodns.cli.origin import Address, read_address, representative
from geodns.cli.readable import unicode_of
from geodns.errors import Fault, InputFaults
from geodns.locate.client import client_from_peer
from geodns.locate.table import PlaceTable
from geodns.model import name as names
from geodns.model.response import Response
from geodns.model.ruling import Ground, Ruling
from geodns.orders.events import end_at, status_at
from geodns.orders.load import Loaded, LoadedOrder
from geodns.serve.explained import structured_texts
from geodns.serve.inforce import InForce, Located
from geodns.serve.placing import Accepted


def find_client(places: PlaceTable, where: str) -> Address:
    """The address that ``--from`` means: itself, or one of a country's."""
    return read_address(where.strip()) or representative(places, where.strip())


def locate_client(in_force: InForce, address: Address) -> Located:
    """Locate an address as the server locates the peer of a socket."""
    return in_force.locate(client_from_peer(address.packed))


def location_facts(in_force: InForce, located: Located, address: Address) -> dict[str, Any]:
    """Where an address is, how that is known, and whether the source is too old."""
    stale = located.location.source in in_force.stale
    return {**describe(in_force.places, address), "stale": stale}


def parse_name(text: str) -> bytes:
    """The name on a command line, folded; InputFaults if it is none."""
    try:
        return names.parse(text)
    except names.NameFault as fault:
        raise InputFaults([Fault(str(fault))]) from None


def parse_instant(text: str | None) -> datetime:
    """The instant of ``--at`` (UTC unless it has an offset), or now; InputFaults if it is none."""
    if text is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InputFaults(
            [Fault(f"--at: {text!r} is no instant; write 2026-01-31 or 2026-01-31T12:00:00+01:00")]
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def ruling_facts(
    in_force: InForce,
    located: Located,
    address: Address,
    ruling: Ruling,
    grounds: list[Ground],
    name: bytes,
    qtype: str,
    at: datetime,
) -> dict[str, Any]:
    """Everything that explain says, JSON-ready."""
    reply = None
    if ruling.block:
        order = in_force.snapshot.orders[ruling.order]
        reply = {
            "action": order.action,
            "ttl": order.ttl,
            "addresses": [str(ipaddress.ip_address(address)) for address in order.addresses],
            "ede": order.ede,
            "text": order.text,
            "structured": structured_texts(order)[0],
        }
    return {
        "ruling": "block" if ruling.block else "allow",
        "order": order_id(in_force, ruling),
        "alias": alias_of(ruling),
        "name": names.to_text(name),
        "unicode": unicode_of(names.to_text(name)),
        "type": qtype,
        "at": at.isoformat(timespec="seconds"),
        "client": {
            "address": located.client.text(),
            "provenance": located.client.provenance,
            "embedded": located.client.how,
        },
        "location": location_facts(in_force, located, address),
        "scope_class": located.scope_class,
        "grounds": [ground_facts(in_force, ground) for ground in grounds],
        "reply": reply,
        "digest": in_force.snapshot.digest,
        "next_change": next_change(in_force),
    }


def next_change(in_force: InForce) -> str | None:
    """When another set of orders will be in force (ISO 8601, UTC), or None."""
    seconds = in_force.snapshot.next_change
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def ground_facts(in_force: InForce, ground: Ground) -> dict[str, Any]:
    """A ground with what is to be known of its order."""
    order = next(o for o in in_force.snapshot.in_force if o.id == ground.order)
    return {
        "order": ground.order,
        "effect": ground.effect,
        "reason": ground.reason,
        "target": ground.target,
        "kind": ground.kind,
        "via": ground.via,
        "title": order.title,
        "authority": order.authority,
        "authority_kind": order.authority_kind,
        "reference": order.reference or None,
        "jurisdiction": order.jurisdiction,
        "effective": _instant(order.effective, order.timezone),
        "expires": None if order.expires is None else _instant(order.expires, order.timezone),
        "last_good": order.last_good,
    }


def not_in_force(
    in_force: InForce, loaded: Loaded, accepted: Accepted, name: bytes, at: datetime
) -> list[dict[str, Any]]:
    """Orders on file that name the name but rule nothing at ``at``: what people ask first."""
    above = set(names.ancestors(name))
    here = {order.id for order in in_force.snapshot.in_force}
    return [
        {
            "order": one.order.id,
            "status": status_at(one, at),
            "reason": _why_not(one, loaded, accepted, here, at),
            "title": one.order.title,
        }
        for one in loaded.orders
        if one.order.id not in here
        and (
            not above.isdisjoint(one.domains)
            or name in one.exact
            or not (above - {name}).isdisjoint(one.below)
        )
    ]


def held_back(in_force: InForce, loaded: Loaded, name: bytes) -> list[dict[str, Any]]:
    """Targets of orders in force that name the name, and are held by the guard."""
    here = {order.id for order in in_force.snapshot.in_force}
    return [
        {
            "order": one.order.id,
            "target": names.to_text(held.target),
            "kind": held.field.removeprefix("targets.").removesuffix("s"),
            "finding": held.finding,
            "reason": held.reason,
            "title": one.order.title,
        }
        for one in loaded.orders
        for held in one.held
        if one.order.id in here
        and isinstance(held.target, bytes)
        and names.is_at_or_below(name, held.target)
        and not (held.field == "targets.exact" and name != held.target)
        and not (held.field == "targets.below" and name == held.target)
    ]


def _why_not(
    one: LoadedOrder, loaded: Loaded, accepted: Accepted, in_force: set[str], at: datetime
) -> str:
    """Why an order is not in force: its status, dates, places, or one that supersedes it."""
    status, end = status_at(one, at), end_at(one, at)
    if one.waiting:
        return "too few approvals: see the faults"
    if status not in ("active", "shadow"):
        return f"status {status}"
    if at < one.effective:
        return f"begins {day_of(one.effective)}"
    if end is not None and at >= end:
        return f"expired {day_of(end)}"
    if one.path in accepted.refused:
        return "no database knows its places: see the faults"
    later = [
        other.order.id
        for other in loaded.orders
        if one.order.id in other.order.supersedes and other.order.status == "active"
    ]
    # One that is superseded itself still supersedes; the one in force is told first.
    later.sort(key=lambda ident: ident not in in_force)
    return f"superseded by {', '.join(later)}"


def day_of(instant: datetime) -> str:
    """An order's instant as its file says it: a date, or a date with time and offset."""
    midnight = instant.hour == instant.minute == instant.second == 0
    return instant.date().isoformat() if midnight else instant.isoformat(timespec="minutes")


def order_id(in_force: InForce, ruling: Ruling) -> str | None:
    """The id of the order that blocks, or None."""
    return in_force.snapshot.orders[ruling.order].id if ruling.block else None


def alias_of(ruling: Ruling) -> str | None:
    """The alias through which a name is blocked, or None where it is blocked otherwise."""
    return None if ruling.alias is None else names.to_text(ruling.alias)


def answer_facts(response: Response) -> dict[str, Any]:
    """What an upstream's answer leads to."""
    return {
        "rcode": RCODES.get(response.rcode, f"RCODE{response.rcode}"),
        "aliases": [names.to_text(alias) for alias in response.aliases],
        "addresses": [str(ipaddress.ip_address(address)) for address in response.addresses],
    }


def _instant(seconds: float, timezone: str) -> str:
    return datetime.fromtimestamp(seconds, ZoneInfo(timezone)).isoformat()
