"""When orders are in force, and when that changes next."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.policy.compile import compile_snapshot, next_change, select_in_force
from geodns.policy.snapshot import Snapshot
from tests.policy.making import order
from tests.properties import oracle
from tests.properties.oracle import Law
from tests.properties.worlds import START, load, roll_world

HOUR = timedelta(hours=1)


def idents(book: tuple[Law, ...], now: datetime) -> set[str]:
    return {loaded.order.id for loaded in select_in_force([load(law) for law in book], now)}


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), st.integers(-8, 8).map(lambda halves: START + halves * HOUR / 2))
def test_in_force_is_what_the_oracle_says(seed: int, now: datetime) -> None:
    book = roll_world(seed, 0).laws
    expected = {law.ident for law in oracle.in_force(book, now)}
    assert idents(book, now) == expected
    snapshot = Snapshot(compile_snapshot([load(law) for law in book], now))
    assert {record.id for record in snapshot.orders} == expected


@settings(max_examples=50)
@given(st.integers(0, 1 << 32), st.integers(-4, 4).map(lambda hours: START + hours * HOUR))
def test_nothing_changes_before_next_change(seed: int, now: datetime) -> None:
    book = roll_world(seed, 0).laws
    loaded = [load(law) for law in book]
    change = next_change(loaded, now)
    assert change is None or change > now.timestamp()
    for eighths in range(1, 100):
        later = now + eighths * HOUR / 8
        if change is not None and later.timestamp() >= change:
            break
        assert idents(book, later) == idents(book, now)
    assert Snapshot(compile_snapshot(loaded, now)).next_change == change


@settings(max_examples=40)
@given(st.integers(0, 1 << 32))
def test_walking_from_change_to_change_misses_nothing(seed: int) -> None:
    book = roll_world(seed, 0).laws
    loaded = [load(law) for law in book]
    now, kept = START - 9 * HOUR, idents(book, START - 9 * HOUR)
    walked = [(now, kept)]
    while (change := next_change(loaded, now)) is not None:
        now = datetime.fromtimestamp(change, START.tzinfo)
        walked.append((now, idents(book, now)))
    for quarters in range(-36, 36):
        at = START + quarters * HOUR / 4
        current = [state for since, state in walked if since <= at][-1]
        assert current == idents(book, at)


def test_the_first_instant_counts_and_the_last_does_not() -> None:
    edge = order("o", domains=["a"], effective=START, expires=START + HOUR)
    tick = timedelta(microseconds=1)
    assert not select_in_force([edge], START - tick)
    assert select_in_force([edge], START) == [edge]
    assert select_in_force([edge], START + HOUR - tick) == [edge]
    assert not select_in_force([edge], START + HOUR)


def test_offsets_are_instants_not_wall_clock_times() -> None:
    rome = datetime.fromisoformat("2026-01-01T01:30:00+02:00")
    assert select_in_force([order("o", domains=["a"], effective=rome)], START)


def test_a_shadow_order_supersedes_nothing() -> None:
    old = order("old", domains=["a"])
    trial = order("trial", domains=["a"], status="shadow", supersedes=["old"])
    active = order("new", domains=["a"], supersedes=["old"])
    assert select_in_force([old, trial], START) == [old, trial]
    assert select_in_force([old, active], START) == [active]


def test_an_order_supersedes_only_while_it_is_in_force_itself() -> None:
    old = order("old", domains=["a"])
    new = order("new", domains=["a"], supersedes=["old"], effective=START, expires=START + HOUR)
    assert select_in_force([old, new], START - HOUR) == [old]
    assert select_in_force([old, new], START) == [new]
    assert select_in_force([old, new], START + HOUR) == [old]
