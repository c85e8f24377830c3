"""Orders and an instant in, the bytes of a snapshot out."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from geodns.fastpath.index import Chunk, index_names
from geodns.model.language import UNDETERMINED
from geodns.model.name import ancestors
from geodns.model.namelist import NameList
from geodns.model.place import atoms
from geodns.orders.events import end_at
from geodns.orders.force import as_of
from geodns.orders.loaded import LoadedOrder
from geodns.policy.snapshot import (
    BELOW,
    DOMAIN,
    EXACT,
    EXEMPT,
    NEVER,
    NO_ORDER,
    VERSION,
    Disclosed,
    OrderRecord,
    Reach,
    Snapshot,
    little_endian,
    order_as_json,
    pack_snapshot,
    reach_as_json,
)

EDE_BLOCKED, EDE_CENSORED = 15, 16
"""RFC 8914 sections 4.16 and 4.17: the operator's own policy, and an external order."""

FILTER_BITS = 16
"""Filter bits for each name: most names that no order names are told by one look at it."""

MOST_TEXT = 600
"""Octets of EXTRA-TEXT that are taken from an order: more would not fit in a reply over UDP."""

Progress = Callable[[int, int], None]


def compile_snapshot(
    orders: Sequence[LoadedOrder],
    now: datetime,
    never_block: Sequence[bytes] = (),
    progress: Progress | None = None,
) -> bytes:
    """Compile the orders in force at ``now`` (an aware instant) to the bytes of a snapshot.

    never_block: folded wire-format names that no order may block, with all below them.
    progress: called with (names done, names in all). Orders are numbered by precedence: the
    earlier ``effective`` first, then the id.
    """
    wanted = select_in_force(orders, now)
    return _compile(wanted, wanted, orders, now, never_block, progress, None, ())


def amend_snapshot(base: Snapshot, orders: Sequence[LoadedOrder], now: datetime) -> bytes:
    """Compile what differs from a base snapshot: see layers.py.

    Costs what the changed orders cost, however many names the base has. The emergency list
    is the base's: another one needs another base.
    """
    wanted = select_in_force(orders, now)
    held = {(order.id, order.edition, order.place, order.last_good) for order in base.orders}
    keys = {(o.order.id, o.edition, o.place, o.last_good): o for o in wanted}
    added = [loaded for key, loaded in keys.items() if key not in held]
    dead = sorted(key[0] for key in held if key not in keys)
    never = [bytes.fromhex(name) for name in base.never]
    return _compile(added, wanted, orders, now, never, None, base, dead)


def content_digest(in_force: Iterable[LoadedOrder], never_block: Iterable[bytes]) -> str:
    """The digest that names what is in force: SHA-256 (hex) over a JSON list.

    The list holds the layout version, [id, place, edition] of each order in force, sorted,
    and the emergency list, folded names in hexadecimal, sorted. It is the same on every
    server that has the same files in force, however the snapshot came about.
    """
    editions = sorted([loaded.order.id, loaded.place, loaded.edition] for loaded in in_force)
    content = [VERSION, editions, sorted(name.hex() for name in never_block)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _compile(
    chosen: Sequence[LoadedOrder],
    wanted: Sequence[LoadedOrder],
    orders: Sequence[LoadedOrder],
    now: datetime,
    never_block: Sequence[bytes],
    progress: Progress | None,
    base: Snapshot | None,
    dead: Sequence[str],
) -> bytes:
    in_force = sorted(chosen, key=lambda loaded: (loaded.effective, loaded.order.id))
    reaches: dict[Reach, int] = {}
    records = [_record(loaded, reaches) for loaded in in_force]
    rules = _Rules()
    # An amendment's base has the emergency list in its index already.
    spared = never_block if base is None else ()
    count, names = _name_sections(in_force, spared, rules, progress)
    sections = {
        "orders": json.dumps(
            {
                "orders": [order_as_json(record) for record in records],
                "reaches": [reach_as_json(reach) for reach in reaches],
                "next_change": next_change(orders, now),
                "names": count,
                "networks": sum(len(loaded.networks) for loaded in in_force),
                "digest": content_digest(wanted, never_block),
                "never": sorted(name.hex() for name in never_block),
                "base": None if base is None else base.file,
                "dead": list(dead),
            },
            ensure_ascii=False,
            sort_keys=True,
        ).encode(),
        **names,
        **_network_sections(in_force, rules),
    }
    sections.update(rules.sections())
    return pack_snapshot(sections)


def select_in_force(orders: Iterable[LoadedOrder], now: datetime) -> list[LoadedOrder]:
    """The orders that rule or record at ``now``: active or shadow, within their dates.

    They are given as they are then: without what is held or lifted (orders/force.py).
    An active order in force takes the orders that it supersedes out of force.
    """
    candidates = [
        loaded
        for loaded in (as_of(each, now) for each in orders)
        if loaded.order.status in ("active", "shadow")
        and loaded.effective <= now
        and (loaded.expires is None or now < loaded.expires)
    ]
    superseded = {
        order_id
        for loaded in candidates
        if loaded.order.status == "active"
        for order_id in loaded.order.supersedes
    }
    return [loaded for loaded in candidates if loaded.order.id not in superseded]


def next_change(orders: Iterable[LoadedOrder], now: datetime) -> float | None:
    """The next instant (epoch seconds) at which another set of orders is in force, or None."""
    instants = [
        instant.timestamp()
        for loaded in orders
        if loaded.may_have_force
        for instant in (
            loaded.effective,
            end_at(loaded, now),
            *(event.at for event in loaded.events),
        )
        if instant is not None and instant > now
    ]
    return min(instants, default=None)


def _record(loaded: LoadedOrder, reaches: dict[Reach, int]) -> OrderRecord:
    order = loaded.order
    reach = Reach(
        places=None if loaded.jurisdiction is None else atoms(loaded.jurisdiction),
        except_=atoms(loaded.except_),
        block_unknown=order.on_unknown == "block",
        allow_stale=order.on_stale == "allow",
    )
    jurisdiction = "global" if loaded.jurisdiction is None else ", ".join(loaded.jurisdiction)
    if loaded.except_:
        jurisdiction += " except " + ", ".join(loaded.except_)
    reference = order.authority.reference or ""
    operator = order.authority.kind == "operator"
    # What an order does not disclose is not told to the world: its id leads the operator to it.
    told = order.disclosure.text or (
        "Blocked by this server's operator" if operator else "Blocked by order of an authority"
    )
    return OrderRecord(
        id=order.id,
        place=loaded.place,
        title=order.title,
        shadow=order.status == "shadow",
        authority=order.authority.name,
        authority_kind=order.authority.kind,
        reference=reference,
        url=order.authority.url or "",
        legal_basis=order.legal_basis or "",
        jurisdiction=jurisdiction,
        effective=loaded.effective.timestamp(),
        expires=None if loaded.expires is None else loaded.expires.timestamp(),
        timezone=order.timezone,
        reach=reaches.setdefault(reach, len(reaches)),
        action=order.response.action,
        ttl=order.response.ttl,
        addresses=tuple(
            ipaddress.ip_address(str(address)).packed for address in order.response.addresses
        ),
        ede=EDE_BLOCKED if operator else EDE_CENSORED,
        text=f"{_cut(told)} [{order.id}]",
        edition=loaded.edition,
        last_good=loaded.last_good,
        disclosed=_disclosed(loaded),
    )


def _disclosed(loaded: LoadedOrder) -> Disclosed:
    told = loaded.order.disclosure
    incident = told.incident
    return Disclosed(
        text=told.text,
        language=told.language or UNDETERMINED,
        translations=tuple((tag, each.text) for tag, each in told.translations.items()),
        places=loaded.jurisdiction,
        except_=loaded.except_,
        contact=told.contact,
        url=told.url or "",
        incident=None if incident is None else (incident.db, incident.id),
        issued=None if loaded.issued is None else loaded.issued.timestamp(),
        review=None if loaded.review is None else loaded.review.timestamp(),
    )


def _cut(text: str) -> str:
    """The text, in at most MOST_TEXT octets of UTF-8."""
    encoded = text.encode()
    if len(encoded) <= MOST_TEXT:
        return text
    return encoded[: MOST_TEXT - 3].decode("utf-8", "ignore") + "…"


class _Rules:
    """Distinct item lists, numbered; rule 0 is the empty one."""

    def __init__(self) -> None:
        self._lists: list[tuple[int, ...]] = [()]
        self._numbers: dict[tuple[int, ...], int] = {(): 0}
        self._added: dict[tuple[int, int], int] = {}

    def number(self, items: tuple[int, ...]) -> int:
        found = self._numbers.get(items)
        if found is None:
            found = self._numbers[items] = len(self._lists)
            self._lists.append(items)
        return found

    def add(self, rule: int, item: int) -> int:
        """The rule that holds what ``rule`` holds, and ``item``."""
        key = rule, item
        found = self._added.get(key)
        if found is None:
            items = self._lists[rule]
            found = rule if item in items else self.number((*items, item))
            self._added[key] = found
        return found

    def sections(self) -> dict[str, bytes]:
        starts = array("I", [0])
        items = array("I")
        for rule in self._lists:
            items.extend(rule)
            starts.append(len(items))
        return {"ruleat": little_endian(starts), "items": little_endian(items)}


def _name_sections(
    in_force: Sequence[LoadedOrder],
    never_block: Sequence[bytes],
    rules: _Rules,
    progress: Progress | None,
) -> tuple[int, dict[str, bytes]]:
    """Index every name that an order or the operator names; how many, and the sections."""
    chunks: list[Chunk] = []
    for number, loaded in enumerate(in_force):
        exempt = frozenset(loaded.exempt)
        for kind, names in (
            (EXACT, loaded.exact),
            (DOMAIN, loaded.domains),
            (BELOW, loaded.below),
            (EXEMPT, loaded.exempt),
        ):
            if exempt and kind != EXEMPT:
                names = [name for name in names if exempt.isdisjoint(ancestors(name))]
            if names:
                packed = names if isinstance(names, NameList) else NameList.of(names)
                chunks.append((packed.blob, packed.starts, number << 8 | kind))
    if never_block:
        packed = NameList.of(never_block)
        chunks.append((packed.blob, packed.starts, NO_ORDER << 8 | NEVER))
    ahead = {item: len(starts) - 1 for _, starts, item in chunks}
    total = sum(ahead.values())
    left = total

    def add(rule: int, item: int) -> int:
        nonlocal left
        # The index asks for the rule of an item alone when it comes to its names.
        if rule == 0 and progress is not None:
            left -= ahead.pop(item, 0)
            progress(total - left, total)
        return rules.add(rule, item)

    count, filter_, buckets, name_at, rule, blob = index_names(chunks, add, FILTER_BITS)
    return count, {
        "filter": filter_,
        "buckets": little_endian(buckets),
        "nameat": little_endian(name_at),
        "rule": little_endian(rule),
        "names": blob,
    }


def _network_sections(in_force: Sequence[LoadedOrder], rules: _Rules) -> dict[str, bytes]:
    nested: dict[int, dict[tuple[int, int], list[int]]] = {4: {}, 6: {}}
    for number, loaded in enumerate(in_force):
        for network in loaded.networks:
            key = int(network.network_address), network.prefixlen
            nested[network.version].setdefault(key, []).append(number << 8 | network.prefixlen)
    starts4, rules4 = _segments(nested[4], 32, rules)
    starts6, rules6 = _segments(nested[6], 128, rules)
    return {
        "net4": little_endian(array("I", starts4)),
        "net4rule": little_endian(array("I", rules4)),
        "net6high": little_endian(array("Q", [start >> 64 for start in starts6])),
        "net6low": little_endian(array("Q", [start & 0xFFFFFFFFFFFFFFFF for start in starts6])),
        "net6rule": little_endian(array("I", rules6)),
    }


def _segments(
    nested: dict[tuple[int, int], list[int]], bits: int, rules: _Rules
) -> tuple[list[int], list[int]]:
    """Flatten nested networks to disjoint segments; a rule lists the longest prefix first."""
    starts: list[int] = []
    numbers: list[int] = []
    open_: list[tuple[int, tuple[int, ...]]] = []

    def mark(start: int, items: tuple[int, ...]) -> None:
        if starts and starts[-1] == start:
            numbers[-1] = rules.number(items)
        else:
            starts.append(start)
            numbers.append(rules.number(items))

    def close_until(start: int) -> None:
        while open_ and open_[-1][0] <= start:
            end, _ = open_.pop()
            mark(end, open_[-1][1] if open_ else ())

    for (start, length), items in sorted(nested.items()):
        close_until(start)
        covering = open_[-1][1] if open_ else ()
        inside = (*items, *covering)
        mark(start, inside)
        open_.append((start + (1 << (bits - length)), inside))
    close_until(1 << bits)
    if starts and starts[-1] == 1 << bits:
        starts.pop()
        numbers.pop()
    return starts, numbers
