"""From a name and a scope class to a ruling: the one function of server and explain.

Precedence (the order of law here): the queried name, then its aliases in order, then the
addresses of the answer. Among the targets that reach one name, exact beats domain and
longer beats shorter; then the earlier ``effective``, then the id. An order's own exemption
of the queried name takes that order out for the whole query; the operator's emergency list
takes all of them out. Shadow orders never win.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from geodns.fastpath.tables import HAND_UP
from geodns.model.name import to_text
from geodns.model.place import Location
from geodns.model.ruling import Ground, Ruling, TargetKind
from geodns.policy.scope import Basis, Scopes, decide
from geodns.policy.snapshot import (
    BELOW,
    DOMAIN,
    EXACT,
    EXEMPT,
    NEVER,
    OrderRecord,
    Snapshot,
)

NameRules = Sequence[tuple[int, int]]
_KINDS: dict[int, TargetKind] = {EXACT: "exact", DOMAIN: "domain", BELOW: "below"}
_NONE: frozenset[int] = frozenset()
_MAPPED = bytes(10) + b"\xff\xff"
_NAT64 = b"\0\x64\xff\x9b" + bytes(8)


@dataclass(frozen=True, slots=True)
class Named:
    """What the orders name among the aliases and addresses of an answer, for every place.

    It depends on the snapshot alone and on no client, so it may be kept beside a cached
    answer; what it means for one client is ruled anew each time.
    """

    aliases: tuple[tuple[bytes, NameRules], ...]
    addresses: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Exemption:
    """What the queried name is exempt from: some orders (by index), or all of them."""

    orders: frozenset[int] = _NONE
    never_block: bool = False


@dataclass(slots=True)
class Recorder:
    """Collects what a ruling leaves behind: grounds for people, indexes for counting.

    located: of whom the grounds tell why an order has force or has none (location, AS number or
    0, whether its source is too old); without it they tell the jurisdiction only.
    """

    grounds: list[Ground]
    shadows: set[int]
    located: tuple[Location, int, bool] | None = None


class Rules:
    """A snapshot and the scope classes of a place table: everything that decides a ruling.

    token: stands for the rule numbers of this object, which mean nothing in another one.
    """

    def __init__(self, snapshot: Snapshot, scopes: Scopes) -> None:
        self.snapshot = snapshot
        self.scopes = scopes
        self.token = object()
        self._rank = snapshot.rank
        self._items: dict[int, list[tuple[int, int]]] = {}
        self._local: dict[tuple[int, bool], bool] = {}
        self._won: dict[tuple[int, int, bool], int] = {}
        self.has_shadow = any(order.shadow for order in snapshot.orders)

    def rule_question(
        self, name: bytes, scope_class: int, recorder: Recorder | None = None
    ) -> tuple[Ruling, Exemption]:
        """Rule on the queried name (folded wire format). The exemption goes to rule_answer."""
        rules = self.snapshot.name_rules(name)
        if not rules:
            return _ALLOW, _NOT_EXEMPT
        exemption = self._exemption(rules)
        named = self._named(name, rules)
        order, target = self._winner(name, rules, scope_class, exemption)
        if recorder is not None:
            self._record(recorder, name, rules, scope_class, exemption, order, None)
        return Ruling(order, target, None, named), exemption

    def verdict(self, rule: int, scope_class: int, full: bool) -> int:
        """What the fast path may say of a rule that matched, by itself.

        full: the whole queried name matched, not a name above it. Returns the order that
        blocks, NO_ORDER, or HAND_UP where exemptions, the emergency list or orders in shadow
        need the whole picture.
        """
        for order, kind in self._items_of(rule):
            if kind in (EXEMPT, NEVER):
                return HAND_UP
            reaches = _reaches_name(kind, 0 if full else 1)
            if reaches and self._effect(order, scope_class, _NOT_EXEMPT) == "shadow":
                return HAND_UP
        return self._winner_here(rule, scope_class, full, _NOT_EXEMPT)

    def local(self, rule: int, full: bool) -> bool:
        """Whether an order whose force depends on the place names what a rule matched."""
        key = rule, full
        found = self._local.get(key)
        if found is None:
            found = self._local[key] = any(
                self._is_local(order)
                for order, kind in self._items_of(rule)
                if _reaches_name(kind, 0 if full else 1)
            )
        return found

    def names_in(self, aliases: Sequence[bytes], addresses: Sequence[bytes]) -> Named | None:
        """Which aliases and addresses of an answer the orders name; None if they name none."""
        found = tuple(
            (alias, rules) for alias in aliases if (rules := self.snapshot.name_rules(alias))
        )
        hit = tuple(
            (address, rule)
            for address in (*addresses, *map(_embedded, addresses))
            if address and (rule := self.snapshot.address_rule(address))
        )
        return Named(found, hit) if found or hit else None

    def rule_answer(
        self,
        named: Named,
        scope_class: int,
        exemption: Exemption,
        recorder: Recorder | None = None,
    ) -> Ruling:
        """Rule on the aliases and addresses that names_in found, for one scope class."""
        won = -1
        target = b""
        through: bytes | None = None
        local = False
        for alias, rules in named.aliases:
            own = self._exemption(rules)
            both = Exemption(
                exemption.orders | own.orders, exemption.never_block or own.never_block
            )
            local = local or self._named(alias, rules)
            order = -1
            if won < 0:
                order, found = self._winner(alias, rules, scope_class, both)
                if order >= 0:
                    won, target, through = order, found, alias
            if recorder is not None:
                self._record(recorder, alias, rules, scope_class, both, order, to_text(alias))
        best: tuple[int, int, int] | None = None
        for address, rule in named.addresses:
            for order, length in self._items_of(rule):
                local = local or self._is_local(order)
                effect = self._effect(order, scope_class, exemption)
                found_here = -_ipv6_length(address, length), self._rank[order], order
                if effect == "blocks" and (best is None or found_here < best):
                    best = found_here
        if won < 0 and best is not None:
            won = best[2]
        if recorder is not None:
            for address, rule in named.addresses:
                self._record_address(recorder, address, rule, scope_class, exemption, won, through)
        return Ruling(won, target, through, local)

    def _items_of(self, rule: int) -> list[tuple[int, int]]:
        items = self._items.get(rule)
        if items is None:
            items = self._items[rule] = self.snapshot.items(rule)
        return items

    def _exemption(self, rules: NameRules) -> Exemption:
        orders: set[int] = set()
        never = False
        for _, rule in rules:
            for order, kind in self._items_of(rule):
                if kind == EXEMPT:
                    orders.add(order)
                elif kind == NEVER:
                    never = True
        return Exemption(frozenset(orders), never) if orders or never else _NOT_EXEMPT

    def _is_local(self, order: int) -> bool:
        record = self.snapshot.orders[order]
        return not record.shadow and not self.snapshot.reaches[record.reach].everywhere

    def _named(self, name: bytes, rules: NameRules) -> bool:
        return any(self.local(rule, at == 0) for at, rule in rules)

    def _winner(
        self, name: bytes, rules: NameRules, scope_class: int, exemption: Exemption
    ) -> tuple[int, bytes]:
        if exemption.never_block:
            return -1, b""
        for at, rule in rules:
            order = self._winner_here(rule, scope_class, at == 0, exemption)
            if order >= 0:
                return order, name[at:]
        return -1, b""

    def _winner_here(self, rule: int, scope_class: int, full: bool, exemption: Exemption) -> int:
        key = rule, scope_class, full
        if not exemption.orders and (known := self._won.get(key)) is not None:
            return known
        blocking = [
            (kind != EXACT, self._rank[order], order)
            for order, kind in self._items_of(rule)
            if _reaches_name(kind, 0 if full else 1)
            and self._effect(order, scope_class, exemption) == "blocks"
        ]
        won = min(blocking)[2] if blocking else -1
        if not exemption.orders:
            self._won[key] = won
        return won

    def _effect(
        self, order: int, scope_class: int, exemption: Exemption
    ) -> Literal["blocks", "shadow", "exempt", "never_block", "elsewhere"]:
        record = self.snapshot.orders[order]
        if not self.scopes.applies(scope_class, record.reach):
            return "elsewhere"
        if order in exemption.orders:
            return "exempt"
        if exemption.never_block:
            return "never_block"
        return "shadow" if record.shadow else "blocks"

    def _precedence(self, item: tuple[int, int]) -> tuple[bool, int]:
        return item[1] != EXACT, self._rank[item[0]]

    def _record(
        self,
        recorder: Recorder,
        name: bytes,
        rules: NameRules,
        scope_class: int,
        exemption: Exemption,
        won: int,
        via: str | None,
    ) -> None:
        for at, rule in rules:
            reaching = [item for item in self._items_of(rule) if _reaches_name(item[1], at)]
            for order, kind in sorted(reaching, key=self._precedence):
                target = to_text(name[at:])
                self._ground(
                    recorder, order, target, _KINDS[kind], scope_class, exemption, won, via
                )

    def _record_address(
        self,
        recorder: Recorder,
        address: bytes,
        rule: int,
        scope_class: int,
        exemption: Exemption,
        won: int,
        through: bytes | None,
    ) -> None:
        shown = ipaddress.ip_address(address)
        for order, length in self._items_of(rule):
            network = ipaddress.ip_network((shown, length), strict=False)
            self._ground(
                recorder,
                order,
                str(network),
                "network",
                scope_class,
                exemption,
                won if through is None else -1,
                str(shown),
            )

    def _ground(
        self,
        recorder: Recorder,
        order: int,
        target: str,
        kind: TargetKind,
        scope_class: int,
        exemption: Exemption,
        won: int,
        via: str | None,
    ) -> None:
        record = self.snapshot.orders[order]
        effect = self._effect(order, scope_class, exemption)
        if effect == "shadow":
            recorder.shadows.add(order)
        shown: Literal["blocks", "also", "shadow", "exempt", "never_block", "elsewhere"] = effect
        if effect == "blocks" and (
            order != won or any(g.effect == "blocks" for g in recorder.grounds)
        ):
            shown = "also"
        basis: Basis = "place"
        if recorder.located is not None:
            location, asn, stale = recorder.located
            reach = self.snapshot.reaches[record.reach]
            basis = decide(reach, location, asn, stale=stale)[1]
        ground = Ground(record.id, target, kind, shown, _reason(record, shown, basis), via)
        if ground not in recorder.grounds:
            recorder.grounds.append(ground)


def _embedded(address: bytes) -> bytes:
    """The IPv4 address in an IPv6 address of an answer (mapped, NAT64, 6to4), or nothing.

    A resolver with DNS64 makes such addresses out of the very ones that orders name.
    """
    if address[:12] in (_MAPPED, _NAT64) and len(address) == 16:
        return address[12:]
    return address[2:6] if address[:2] == b"\x20\x02" and len(address) == 16 else b""


def _ipv6_length(address: bytes, length: int) -> int:
    """A prefix length as if all networks were IPv6: 203.0.113.0/24 is ::ffff:203.0.113.0/120."""
    return length + 96 if len(address) == 4 else length


def _reaches_name(kind: int, at: int) -> bool:
    """Whether an item of this kind, found ``at`` octets into the name, reaches the name."""
    if at == 0:
        return kind in (EXACT, DOMAIN)
    return kind in (DOMAIN, BELOW)


def _reason(record: OrderRecord, effect: str, basis: Basis) -> str:
    where = f"(jurisdiction {record.jurisdiction})"
    unknown, stale = "where the client is cannot be told, and", "the databases are too old, and"
    if effect == "elsewhere":
        return {
            "place": f"has no force for this client {where}",
            "except": f"has no force for this client: it is in an exception {where}",
            "unknown": f"has no force for this client: {unknown} on_unknown is allow {where}",
            "stale": f"has no force for this client: {stale} on_stale is allow {where}",
        }[basis]
    told = f": {unknown} on_unknown is block" if basis == "unknown" else ""
    return {
        "blocks": f"has force for this client{told} {where}; action {record.action}",
        "also": f"has force for this client too{told} {where}; an earlier ground won",
        "shadow": f"has force here{told} {where}, but in shadow: recorded, not blocked",
        "exempt": "the order itself exempts this name",
        "never_block": "on the operator's never_block list"
        + ("; in shadow besides" if record.shadow else ""),
    }[effect]


_ALLOW = Ruling()
_NOT_EXEMPT = Exemption()
