"""The law in its plainest words: slow, obvious, and sharing no code with geodns.

Names are dotted lower-case text, addresses go through the ipaddress module, instants are
datetimes. If this file and geodns disagree, one of them misread DESIGN.md.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

SETS = {
    "FR+overseas": {
        "FR", "GP", "MQ", "GF", "RE", "YT", "PM", "BL", "MF", "NC", "PF", "WF", "TF",
    },
    "EU": {
        "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE",
        "IT", "LV", "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Where:
    """A location: country and asn may be unknown (None, 0); stale: its database is too old."""

    country: str | None
    subdivisions: tuple[str, ...] = ()
    asn: int = 0
    stale: bool = False


@dataclass(frozen=True)
class Law:
    """An order, in plain values. places=None: global."""

    ident: str
    effective: datetime
    expires: datetime | None = None
    status: str = "active"
    supersedes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    places: tuple[str, ...] | None = ("IT",)
    except_: tuple[str, ...] = ()
    on_unknown: str = "allow"
    on_stale: str = "keep"


@dataclass(frozen=True)
class Hit:
    """One way in which one order reaches the query."""

    ident: str
    target: str
    kind: str
    via: str | None
    effect: str


@dataclass(frozen=True)
class Verdict:
    winner: str | None
    target: str | None
    via: str | None
    hits: frozenset[Hit]
    local: bool


def covers(name: str, above: str) -> bool:
    """Whether ``name`` is ``above`` or lies below it."""
    mine, theirs = name.split("."), above.split(".")
    return len(mine) >= len(theirs) and mine[len(mine) - len(theirs) :] == theirs


def in_force(laws: Sequence[Law], now: datetime) -> list[Law]:
    """The orders that rule or record at an instant."""
    alive = []
    for law in laws:
        if law.status not in ("active", "shadow"):
            continue
        if law.effective > now:
            continue
        if law.expires is not None and law.expires <= now:
            continue
        alive.append(law)
    out = []
    for law in alive:
        if not any(o.status == "active" and law.ident in o.supersedes for o in alive):
            out.append(law)
    return out


def in_one(place: str, where: Where) -> bool | None:
    if place in SETS:
        return None if where.country is None else where.country in SETS[place]
    if place.startswith("AS") and place[2:].isdigit():
        return None if where.asn == 0 else where.asn == int(place[2:])
    if where.country is None:
        return None
    if "-" in place:
        if place.split("-")[0] != where.country:
            return False
        if not where.subdivisions:
            return None
        return place in where.subdivisions
    return where.country == place


def in_any(places: Sequence[str], where: Where) -> bool | None:
    answers = [in_one(place, where) for place in places]
    if True in answers:
        return True
    if None in answers:
        return None
    return False


def has_force(law: Law, where: Where) -> bool:
    if law.places is None and not law.except_:
        return True
    if where.stale and law.on_stale == "allow":
        return False
    inside = True if law.places is None else in_any(law.places, where)
    carved = in_any(law.except_, where)
    if inside is False or carved is True:
        return False
    if inside is None or carved is None:
        return law.on_unknown == "block"
    return True


def is_exempt(law: Law, name: str) -> bool:
    return any(covers(name, exempt) for exempt in law.exempt)


def reaching(law: Law, name: str) -> list[tuple[str, str]]:
    """(kind, target) of an order's targets that reach a name."""
    found = []
    for target in law.exact:
        if name == target:
            found.append(("exact", target))
    for target in law.domains:
        if covers(name, target):
            found.append(("domain", target))
    for target in law.below:
        if covers(name, target) and name != target:
            found.append(("below", target))
    # What the order itself exempts whole is no target of it.
    return [(kind, target) for kind, target in found if not is_exempt(law, target)]


def judge(
    laws: Sequence[Law],
    never_block: Sequence[str],
    now: datetime,
    where: Where,
    name: str,
    aliases: Sequence[str] = (),
    addresses: Sequence[str] = (),
) -> Verdict:
    """What the law says of one query and its answer, and everything that speaks to it."""
    alive = in_force(laws, now)
    spared = any(covers(name, never) for never in never_block)
    hits: set[Hit] = set()
    winner: tuple[str, str, str | None] | None = None
    local = False

    def is_local(law: Law) -> bool:
        return law.status != "shadow" and not (law.places is None and not law.except_)

    for step in (name, *aliases):
        via = None if step is name else step
        spared_here = spared or any(covers(step, never) for never in never_block)
        candidates = []
        for law in alive:
            out = is_exempt(law, name) or is_exempt(law, step)
            for kind, target in reaching(law, step):
                local = local or is_local(law)
                effect = _effect(law, where, out, spared_here)
                hits.add(Hit(law.ident, target, kind, via, effect))
                if effect == "blocks":
                    rank = (-len(target.split(".")), kind != "exact", law.effective, law.ident)
                    candidates.append((rank, law.ident, target))
        if candidates and winner is None:
            _, ident, target = min(candidates)
            winner = ident, target, via
    candidates = []
    for text in addresses:
        address = ipaddress.ip_address(text)
        for law in alive:
            for block in law.networks:
                network = ipaddress.ip_network(block)
                if network.version != address.version or address not in network:
                    continue
                local = local or is_local(law)
                effect = _effect(law, where, is_exempt(law, name), spared)
                hits.add(Hit(law.ident, block, "network", text, effect))
                if effect == "blocks":
                    # As if all were IPv6: an IPv4 /24 is as narrow as an IPv6 /120.
                    length = network.prefixlen + (96 if network.version == 4 else 0)
                    rank = (-length, False, law.effective, law.ident)
                    candidates.append((rank, law.ident, block))
    if candidates and winner is None:
        _, ident, target = min(candidates)
        winner = ident, target, "address"
    if winner is None:
        return Verdict(None, None, None, frozenset(hits), local)
    return Verdict(*winner, frozenset(hits), local)


def _effect(law: Law, where: Where, exempt: bool, spared: bool) -> str:
    if not has_force(law, where):
        return "elsewhere"
    if exempt:
        return "exempt"
    if spared:
        return "never_block"
    return "shadow" if law.status == "shadow" else "blocks"
