"""The proof over the wire: a sample from every place, asked of a running server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

from geodns.locate.client import client_from_peer
from geodns.model.name import from_labels, to_text
from geodns.orders.loaded import LoadedOrder
from geodns.prove.names import POPULAR
from geodns.prove.walk import Progress
from geodns.serve.inforce import InForce

Address = IPv4Address | IPv6Address
_TOLD = 20


@dataclass(frozen=True, slots=True)
class Question:
    """One question and what the server owes: the id of the order that blocks, or None."""

    place: str
    address: Address
    name: bytes
    owed: str | None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the server said: the rcode, and the id of the order that blocked, or None."""

    rcode: str
    order: str | None


Ask = Callable[[bytes, Address], Heard]


def questions(
    in_force: InForce,
    orders: Sequence[LoadedOrder],
    wanted: Sequence[str],
    given: Sequence[Address],
    random: Random,
) -> list[Question]:
    """What to ask: from every country, subdivision and unplaced spot that the tables know.

    From each: a name that an order there blocks, if any, one of any order, and a well-known one.
    Each order is asked for from at least one place where it has force, if there is one. given:
    addresses to ask from instead. wanted: order ids; empty means all.
    """
    ids = {record.id for record in in_force.snapshot.in_force}
    targets = {
        loaded.order.id: _target(loaded, random)
        for loaded in orders
        if loaded.order.id in ids and (not wanted or loaded.order.id in wanted)
    }
    targets = {ident: name for ident, name in targets.items() if name}
    if not targets:
        return []
    spots = [(str(address), address) for address in given] or _spots(in_force, random)
    asked: dict[tuple[Address, bytes], Question] = {}

    def add(place: str, address: Address, name: bytes) -> None:
        asked[address, name] = Question(place, address, name, _owed(in_force, address, name))

    everywhere = list(targets.values())
    for place, address in spots:
        here = [name for name in everywhere if _owed(in_force, address, name)]
        if here:
            add(place, address, random.choice(here))
        add(place, address, random.choice(everywhere))
        add(place, address, random.choice(POPULAR))
    for name in everywhere:
        inside = [spot for spot in spots if _owed(in_force, spot[1], name)]
        outside = [spot for spot in spots if not _owed(in_force, spot[1], name)]
        for each in (inside, outside):
            if each:
                add(*random.choice(each), name)
    return list(asked.values())


def ask_all(asked: Sequence[Question], ask: Ask, progress: Progress) -> dict[str, Any]:
    """Ask, and compare. Errors of ``ask`` are not caught. Returns the ``wire`` part of a proof."""
    mismatches: list[str] = []
    blocked = wrong = 0
    for number, question in enumerate(asked):
        heard = ask(question.name, question.address)
        blocked += heard.order is not None
        if heard.order != question.owed:
            wrong += 1
            if len(mismatches) < _TOLD:
                mismatches.append(
                    f"{to_text(question.name)} from {question.place} ({question.address}): the"
                    f" server {_said(heard.order)} ({heard.rcode}), owed: {_said(question.owed)}"
                )
        progress(number + 1, len(asked))
    return {
        "asked": len(asked),
        "places": len({question.place for question in asked}),
        "blocked": blocked,
        "not_blocked": len(asked) - blocked,
        "wrong": wrong,
        "mismatches": mismatches,
    }


def _said(order: str | None) -> str:
    return f"blocks by {order}" if order else "does not block"


def _owed(in_force: InForce, address: Address, name: bytes) -> str | None:
    located = in_force.locate(client_from_peer(address.packed))
    ruling = in_force.rules.rule_question(name, located.scope_class)[0]
    return in_force.snapshot.orders[ruling.order].id if ruling.block else None


def _target(loaded: LoadedOrder, random: Random) -> bytes:
    """A name that the order reaches; nothing where it names networks only."""
    if loaded.domains:
        return random.choice(loaded.domains)
    if loaded.exact:
        return random.choice(loaded.exact)
    if loaded.below:
        return from_labels([b"geodnsproof"])[:-1] + random.choice(loaded.below)
    return b""


def _spots(in_force: InForce, random: Random) -> list[tuple[str, Address]]:
    """One address of every country, of every subdivision, and one that nobody can place.

    The address is one of a random network of the place, in either IP version.
    """
    places = in_force.places
    labels = [
        "+".join(location.subdivisions) or location.country or "unknown"
        for location in places.locations
    ]
    four, at4, upper, lower, at6, *_ = places.columns
    held: dict[str, list[tuple[int, int]]] = {}
    for version, ids in ((4, at4), (6, at6)):
        for number, place in enumerate(ids):
            held.setdefault(labels[place], []).append((version, number))
    found: list[tuple[str, Address]] = []
    for label in sorted(held):
        version, number = random.choice(held[label])
        if version == 4:
            found.append((label, IPv4Address(four[number])))
        else:
            found.append((label, IPv6Address(upper[number] << 64 | lower[number])))
    return found
