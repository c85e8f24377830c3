"""Grounds as people read them; what wins is in tests/properties/test_rule.py."""

from __future__ import annotations

from ipaddress import ip_address

from geodns.model.place import Location
from geodns.model.ruling import Ground
from geodns.orders.loaded import LoadedOrder
from geodns.policy.compile import compile_snapshot
from geodns.policy.rule import Recorder, Rules
from geodns.policy.scope import Scopes
from geodns.policy.snapshot import Snapshot
from tests.policy.making import NOW, order, wire

ITALY, FRANCE = 0, 1


REASON = "has force for this client (jurisdiction IT); action nxdomain"
ELSEWHERE = "has no force for this client (jurisdiction IT)"


def rules_of(*orders: LoadedOrder, never: tuple[str, ...] = ()) -> Rules:
    snapshot = Snapshot(compile_snapshot(orders, NOW, [wire(name) for name in never]))
    return Rules(snapshot, Scopes(snapshot.reaches, [Location("IT"), Location("FR")]))


def grounds(
    rules: Rules,
    name: str,
    place: int,
    aliases: tuple[str, ...] = (),
    addresses: tuple[str, ...] = (),
) -> list[Ground]:
    recorder = Recorder([], set())
    scope_class = rules.scopes.class_of(place)
    _, exemption = rules.rule_question(wire(name), scope_class, recorder)
    packed = [ip_address(address).packed for address in addresses]
    named = rules.names_in([wire(alias) for alias in aliases], packed)
    if named is not None:
        rules.rule_answer(named, scope_class, exemption, recorder)
    return recorder.grounds


def test_a_ground_says_which_order_by_which_target_and_why() -> None:
    rules = rules_of(order("it-a", domains=["blocked.a"], places=["IT"]))
    assert grounds(rules, "www.blocked.a", ITALY) == [
        Ground("it-a", "blocked.a", "domain", "blocks", REASON)
    ]
    assert grounds(rules, "www.blocked.a", FRANCE) == [
        Ground("it-a", "blocked.a", "domain", "elsewhere", ELSEWHERE)
    ]


def test_a_ground_through_an_alias_or_address_says_so() -> None:
    rules = rules_of(order("it-a", exact=["target.a"], networks=["192.0.2.0/24"]))
    found = grounds(rules, "free.a", ITALY, ("x.a", "target.a"), ("192.0.2.9", "198.51.100.1"))
    assert [(g.target, g.kind, g.via, g.effect) for g in found] == [
        ("target.a", "exact", "target.a", "blocks"),
        ("192.0.2.0/24", "network", "192.0.2.9", "also"),
    ]


def test_there_is_one_winner_and_its_ground_comes_from_the_longest_target() -> None:
    rules = rules_of(
        order("it-a", domains=["a", "b.a"]), order("it-b", domains=["b.a"], exact=["c.b.a"])
    )
    found = grounds(rules, "c.b.a", ITALY)
    assert [(g.order, g.target, g.effect) for g in found] == [
        ("it-b", "c.b.a", "blocks"),
        ("it-a", "b.a", "also"),
        ("it-b", "b.a", "also"),
        ("it-a", "a", "also"),
    ]


def test_global_with_exceptions_is_told_as_written() -> None:
    rules = rules_of(order("it-a", domains=["a"], places=None, except_=["FR+overseas", "SM"]))
    (ground,) = grounds(rules, "a", ITALY)
    assert (
        ground.reason
        == "has force for this client (jurisdiction global except FR+overseas, SM); action nxdomain"
    )


def test_the_emergency_list_leaves_a_ground_for_what_it_stopped() -> None:
    rules = rules_of(order("it-a", domains=["a"]), never=("vital.a",))
    (ground,) = grounds(rules, "x.vital.a", ITALY)
    assert (ground.order, ground.effect) == ("it-a", "never_block")
    assert "never_block" in ground.reason
    assert grounds(rules, "x.vital.a", FRANCE)[0].effect == "elsewhere"


def test_shadow_orders_are_recorded_and_counted() -> None:
    rules = rules_of(order("it-a", domains=["a"], status="shadow"))
    recorder = Recorder([], set())
    ruling, _ = rules.rule_question(wire("x.a"), rules.scopes.class_of(ITALY), recorder)
    assert not ruling.block
    assert not ruling.named, "an order in shadow changes no answer, so no scope is owed"
    assert recorder.shadows == {0}
    assert rules.has_shadow


def test_a_named_exempt_name_still_owes_a_scope() -> None:
    rules = rules_of(order("it-a", domains=["a"], exempt=["free.a"]))
    ruling, exemption = rules.rule_question(wire("free.a"), rules.scopes.class_of(ITALY))
    assert not ruling.block
    assert exemption.orders == {0}


def test_no_orders_no_grounds() -> None:
    rules = rules_of()
    assert grounds(rules, "a.b.c", ITALY, ("d",), ("192.0.2.1", "2001:db8::1")) == []
    ruling, _ = rules.rule_question(b"\0", 0)
    assert not ruling.block


def test_the_narrower_network_wins_across_address_families() -> None:
    four = order("z-four", networks=["203.0.113.0/24"])
    for six, winner in (("2001:db8::/32", "z-four"), ("2001:db8::7/128", "a-six")):
        rules = rules_of(four, order("a-six", networks=[six]))
        found = grounds(rules, "free.a", ITALY, (), ("2001:db8::7", "203.0.113.9"))
        assert {g.order: g.effect for g in found}[winner] == "blocks"
    # An embedded IPv4 address is judged as itself, and as the IPv6 address that it is.
    rules = rules_of(four, order("a-nat", networks=["64:ff9b::/96"]))
    (six, embedded) = grounds(rules, "free.a", ITALY, (), ("64:ff9b::203.0.113.9",))
    assert (six.order, six.effect, six.via) == ("a-nat", "also", "64:ff9b::cb00:7109")
    assert (embedded.order, embedded.effect, embedded.via) == ("z-four", "blocks", "203.0.113.9")
