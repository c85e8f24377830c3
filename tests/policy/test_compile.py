"""Order records, texts and numbering of a snapshot."""

from __future__ import annotations

from datetime import timedelta

import pytest

from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import OrderRecord, Snapshot
from tests.policy.making import EARLY, NOW, order, wire


def record(*args: object, **keys: object) -> OrderRecord:
    snapshot = Snapshot(compile_snapshot([order(*args, **keys)], NOW))  # type: ignore[arg-type]
    return snapshot.orders[0]


def test_a_record_has_what_serving_and_explaining_need() -> None:
    made = record(
        "it-a",
        domains=["a.b"],
        places=["IT", "FR+overseas"],
        except_=["RE"],
        expires=NOW + timedelta(days=1),
        action="sinkhole",
        addresses=["192.0.2.1", "2001:db8::1"],
        ttl=77,
        text="Because — так.",
        reference="R.G. 1",
    )
    assert made.jurisdiction == "IT, FR+overseas except RE"
    assert made.addresses == (bytes([192, 0, 2, 1]), b"\x20\x01\x0d\xb8" + bytes(11) + b"\1")
    assert (made.action, made.ttl, made.ede) == ("sinkhole", 77, 16)
    assert made.text == "Because — так. [it-a]"
    assert made.effective == EARLY.timestamp()
    assert made.expires == NOW.timestamp() + 86400
    assert not made.shadow
    assert not made.last_good


def test_the_text_without_disclosure() -> None:
    told = record("it-a", domains=["a"], reference="R.G. 1", title="Blocking").text
    assert told == "Blocked by order of an authority [it-a]"
    assert record("op", domains=["a"], kind="operator").text == (
        "Blocked by this server's operator [op]"
    )


@pytest.mark.parametrize(
    ("kind", "code"),
    [("court", 16), ("regulator", 16), ("police", 16), ("self-regulation", 16), ("operator", 15)],
)
def test_the_ede_code_tells_an_order_from_the_house_rules(kind: str, code: int) -> None:
    assert record("it-a", domains=["a"], kind=kind).ede == code


def test_orders_are_numbered_by_precedence() -> None:
    orders = [
        order("c", domains=["a"], effective=NOW - timedelta(days=2)),
        order("b", domains=["a"], effective=NOW - timedelta(days=1)),
        order("a", domains=["a"], effective=NOW - timedelta(days=1)),
    ]
    snapshot = Snapshot(compile_snapshot(orders, NOW))
    assert [each.id for each in snapshot.orders] == ["c", "a", "b"]


def test_progress_counts_names_up_to_all() -> None:
    seen: list[tuple[int, int]] = []
    orders = [
        order(f"o-{at}", domains=[f"d{n}.a" for n in range(at)], exact=["x.a"]) for at in range(4)
    ]
    compile_snapshot(orders, NOW, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)
    assert seen == sorted(seen)


def test_a_hundred_thousand_names_are_all_found_and_nothing_else() -> None:
    names = [f"n{at}.example" for at in range(100_000)]
    big = order("big", networks=["192.0.2.0/24"])
    import dataclasses

    big = dataclasses.replace(big, domains=tuple(map(wire, names)))
    snapshot = Snapshot(compile_snapshot([big, order("one", exact=["n7.example"])], NOW))
    assert (snapshot.names, snapshot.networks) == (100_000, 1)
    for at in range(0, 100_000, 997):
        (found,) = snapshot.name_rules(wire(f"www.n{at}.example"))
        assert found[0] == 4
        assert snapshot.items(found[1])[0][0] == 0
    assert snapshot.name_rules(wire("n100000.example")) == []
    assert snapshot.name_rules(wire("example")) == []
    ((_, rule),) = snapshot.name_rules(wire("n7.example"))
    assert len(snapshot.items(rule)) == 2


def test_what_an_order_exempts_whole_is_not_indexed() -> None:
    made = order("o", domains=["a", "x.free.a"], exact=["free.a"], exempt=["free.a"])
    assert Snapshot(compile_snapshot([made], NOW)).names == 2


def test_an_empty_book_compiles() -> None:
    snapshot = Snapshot(compile_snapshot([], NOW))
    assert snapshot.orders == ()
    assert snapshot.name_rules(wire("a.b")) == []
    assert snapshot.address_rule(bytes(4)) == snapshot.address_rule(bytes(16)) == 0
    assert snapshot.next_change is None
