"""Compiled rules against the naive oracle."""

from __future__ import annotations

import ipaddress
from collections import Counter
from functools import lru_cache

from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model.place import Location
from geodns.policy.compile import compile_snapshot
from geodns.policy.rule import Recorder, Rules
from geodns.policy.scope import Scopes
from geodns.policy.snapshot import Snapshot
from tests.policy.making import wire
from tests.properties import oracle
from tests.properties.oracle import Hit, Law, Verdict, Where
from tests.properties.worlds import (
    START,
    books,
    load,
    names,
    roll_world,
    some_addresses,
    some_names,
    wheres,
)


def text(name: bytes) -> str:
    """Dotted text of a wire name, by hand."""
    parts, at = [], 0
    while name[at]:
        parts.append(name[at + 1 : at + 1 + name[at]].decode())
        at += 1 + name[at]
    return ".".join(parts)


@lru_cache(maxsize=4)
def snapshot_of(laws: tuple[Law, ...], never: tuple[str, ...]) -> Snapshot:
    data = compile_snapshot([load(law) for law in laws], START, [wire(name) for name in never])
    return Snapshot(data)


def rules_for(laws: tuple[Law, ...], never: tuple[str, ...], where: Where) -> tuple[Rules, int]:
    snapshot = snapshot_of(laws, never)
    # Two locations that differ in the source's age only, and some that are beside the point.
    locations = [
        Location("DE", source=0),
        Location(where.country, where.subdivisions, source=1 if where.stale else 0),
        Location("IT", source=1),
    ]
    scopes = Scopes(snapshot.reaches, locations, stale=[1])
    return Rules(snapshot, scopes), scopes.class_of(1, where.asn)


def decide(
    rules: Rules,
    scope_class: int,
    name: str,
    aliases: tuple[str, ...],
    addresses: tuple[str, ...],
    *,
    record: bool = True,
) -> Verdict:
    recorder = Recorder([], set()) if record else None
    ruling, exemption = rules.rule_question(wire(name), scope_class, recorder)
    local = ruling.named
    winner = ruling if ruling.block else None
    packed = [ipaddress.ip_address(address).packed for address in addresses]
    named = rules.names_in([wire(alias) for alias in aliases], packed)
    if named is not None:
        answer = rules.rule_answer(named, scope_class, exemption, recorder)
        local = local or answer.named
        if winner is None and answer.block:
            winner = answer
    hits = frozenset(
        Hit(g.order, g.target, g.kind, g.via, "blocks" if g.effect == "also" else g.effect)
        for g in (recorder.grounds if recorder else ())
    )
    if winner is None:
        return Verdict(None, None, None, hits, local)
    through = None if winner.alias is None else text(winner.alias)
    target: str | None = text(winner.target) if winner.target else None
    if winner is not ruling and through is None:
        through = "address"
    return Verdict(rules.snapshot.orders[winner.order].id, target, through, hits, local)


def check(
    laws: tuple[Law, ...],
    never: tuple[str, ...],
    where: Where,
    name: str,
    aliases: tuple[str, ...],
    addresses: tuple[str, ...],
) -> Verdict:
    rules, scope_class = rules_for(laws, never, where)
    expected = oracle.judge(laws, never, START, where, name, aliases, addresses)
    found = decide(rules, scope_class, name, aliases, addresses)
    assert found.winner == expected.winner
    assert found.via == expected.via
    if expected.via != "address":
        assert found.target == expected.target
    assert found.hits == expected.hits
    assert found.local == expected.local
    return expected


def test_rulings_in_crowded_worlds_are_what_the_oracle_says() -> None:
    through: Counter[str] = Counter()
    effects: Counter[str] = Counter()
    for seed in range(90):
        world = roll_world(seed)
        for where, name, aliases, addresses in world.questions:
            verdict = check(world.laws, world.never, where, name, aliases, addresses)
            via = verdict.via if verdict.via in (None, "address") else "alias"
            through["allowed" if verdict.winner is None else via or "question"] += 1
            effects.update(hit.effect for hit in verdict.hits)
    # The worlds must be such that everything happens often.
    assert min(through[via] for via in ("allowed", "question", "alias", "address")) > 50
    assert min(effects[e] for e in ("shadow", "exempt", "never_block", "elsewhere")) > 30


@settings(max_examples=60)
@given(books(), st.just(()) | some_names, wheres, names, some_names, some_addresses)
def test_rulings_are_what_the_oracle_says(
    laws: tuple[Law, ...],
    never: tuple[str, ...],
    where: Where,
    name: str,
    aliases: tuple[str, ...],
    addresses: tuple[str, ...],
) -> None:
    aliases = tuple(alias for alias in aliases if alias != name)
    check(laws, never, where, name, aliases, addresses)


@settings(max_examples=40)
@given(books(), wheres, names, some_names, some_addresses)
def test_recording_changes_no_ruling(
    laws: tuple[Law, ...],
    where: Where,
    name: str,
    aliases: tuple[str, ...],
    addresses: tuple[str, ...],
) -> None:
    rules, scope_class = rules_for(laws, (), where)
    kept = decide(rules, scope_class, name, aliases, addresses)
    # Asked a second time, what is remembered of the first must not show.
    again = decide(rules, scope_class, name, aliases, addresses, record=False)
    assert (again.winner, again.target, again.via) == (kept.winner, kept.target, kept.via)


@settings(max_examples=40)
@given(books(), names, some_names, some_addresses)
def test_class_zero_blocks_nothing(
    laws: tuple[Law, ...], name: str, aliases: tuple[str, ...], addresses: tuple[str, ...]
) -> None:
    rules, _ = rules_for(laws, (), Where("DE"))
    assert decide(rules, 0, name, aliases, addresses).winner is None


@settings(max_examples=40)
@given(books(), wheres, names)
def test_never_block_spares_the_name_whatever_the_orders_say(
    laws: tuple[Law, ...], where: Where, name: str
) -> None:
    never = (name.split(".", 1)[-1],)
    rules, scope_class = rules_for(laws, never, where)
    found = decide(rules, scope_class, name, ("a.b", "b"), ("192.0.2.1", "2001:db8::1"))
    assert found.winner is None
    assert not any(hit.effect == "blocks" for hit in found.hits)
