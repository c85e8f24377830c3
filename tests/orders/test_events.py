"""Dated events of an order: what it is at an instant, and when the server switches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from geodns.model.name import parse
from geodns.orders.due import due
from geodns.orders.events import status_at
from geodns.orders.force import as_of
from geodns.orders.guard.judge import bundled_known
from geodns.orders.guard.review import review
from geodns.orders.loaded import LoadedOrder
from geodns.orders.read import read_order
from geodns.policy.compile import amend_snapshot, compile_snapshot, next_change, select_in_force
from geodns.policy.layers import LayeredSnapshot
from geodns.policy.snapshot import Snapshot
from tests.orders.sample import good

TARGETS = (
    'domains = ["one.example", "two.example", "deep.two.example"]\nnetworks = ["198.51.100.0/24"]'
)


def text(*events: str, status: str = "active", zone: str = "Europe/Rome", dates: str = "") -> str:
    found = good("a").replace('domains = ["example.org"]', TARGETS)
    found = found.replace('"active"', f'"{status}"\ntimezone = "{zone}"')
    found = found.replace("[targets]", f"{dates}\n[targets]")
    return found + "".join(f"\n[[events]]\n{event}\n" for event in events)


def load(
    *events: str, status: str = "active", zone: str = "Europe/Rome", dates: str = ""
) -> LoadedOrder:
    reading = read_order(
        "IT/a.toml",
        "IT",
        text(*events, status=status, zone=zone, dates=dates).encode(),
        lambda n: b"",
    )
    assert reading.order is not None, [str(fault) for fault in reading.faults]
    return reading.order


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def blocks(order: LoadedOrder, name: str, moment: str) -> bool:
    snapshot = Snapshot(compile_snapshot([order], at(moment)))
    rules = snapshot.name_rules(parse(name))
    kinds = {kind for _, rule in rules for _, kind in snapshot.items(rule)}
    return bool(kinds) and 3 not in kinds  # an exemption


def test_suspended_on_appeal_resumed_and_lifted() -> None:
    order = load(
        'kind = "lift"\nat = 2024-12-01\nreason = "reversed"',
        'kind = "suspend"\nat = 2024-06-10\nreason = "appeal"',
        'kind = "resume"\nat = 2024-07-01T12:00:00+02:00',
    )
    states = {
        "2024-06-09T21:59:59": "active",
        "2024-06-09T22:00:00": "suspended",  # midnight in Rome
        "2024-07-01T09:59:59": "suspended",
        "2024-07-01T10:00:00": "active",
        "2024-11-30T22:59:59": "active",
        "2024-11-30T23:00:00": "lifted",
    }
    for moment, state in states.items():
        assert status_at(order, at(moment)) == state
        assert bool(select_in_force([order], at(moment))) == (state == "active")
    now, seen = at("2024-01-02T00:00:00"), []
    while (coming := next_change([order], now)) is not None:
        now = datetime.fromtimestamp(coming, UTC)
        seen.append(now.isoformat()[:19])
    assert seen == ["2024-06-09T22:00:00", "2024-07-01T10:00:00", "2024-11-30T23:00:00"]


def test_a_suspended_order_begins_when_it_resumes_and_a_shadow_stays_one() -> None:
    late = load('kind = "resume"\nat = 2024-05-01', status="suspended")
    assert not select_in_force([late], at("2024-04-30T12:00:00"))
    assert next_change([late], at("2024-04-30T12:00:00")) == at("2024-04-30T22:00:00").timestamp()
    assert select_in_force([late], at("2024-05-01T00:00:00"))
    shadow = load(
        'kind = "suspend"\nat = 2024-05-01', 'kind = "resume"\nat = 2024-06-01', status="shadow"
    )
    (found,) = select_in_force([shadow], at("2024-07-01T00:00:00"))
    assert found.order.status == "shadow"


def test_lifting_some_targets() -> None:
    order = load(
        'kind = "lift-targets"\nat = 2024-05-01'
        '\ntargets = ["one.example", "free.two.example", "198.51.100.0/24"]'
    )
    before, after = "2024-04-30T12:00:00", "2024-05-02T12:00:00"
    for name in ("one.example", "www.one.example", "two.example", "free.two.example"):
        assert blocks(order, name, before)
    assert not blocks(order, "www.one.example", after)
    assert not blocks(order, "www.free.two.example", after)
    assert blocks(order, "two.example", after)
    assert blocks(order, "deep.two.example", after)
    assert [len(as_of(order, at(moment)).networks) for moment in (before, after)] == [1, 0]


def test_a_base_is_amended_at_the_instant() -> None:
    order = load('kind = "lift-targets"\nat = 2024-05-01\ntargets = ["one.example"]')
    base = Snapshot(compile_snapshot([order], at("2024-04-30T12:00:00")))
    now = at("2024-05-01T00:00:00")
    amended = LayeredSnapshot(amend_snapshot(base, [order], now), base)
    assert not amended.name_rules(parse("one.example"))
    assert amended.name_rules(parse("two.example"))
    whole = Snapshot(compile_snapshot([order], now))
    assert amended.digest == whole.digest != base.digest
    assert amended.next_change == whole.next_change


def test_an_end_that_is_put_off_and_taken_away() -> None:
    order = load(
        'kind = "amend-end"\nat = 2024-05-01\nend = 2024-12-01',
        'kind = "amend-end"\nat = 2024-11-01',
        dates="expires = 2024-06-01",
    )
    forces = {
        "2024-05-31T23:00:00": True, "2024-06-02T00:00:00": True, "2024-12-02T00:00:00": True,
    }  # fmt: skip
    for moment, force in forces.items():
        assert bool(select_in_force([order], at(moment))) == force
    (record,) = Snapshot(compile_snapshot([order], at("2024-06-02T00:00:00"))).orders
    assert record.expires == at("2024-11-30T23:00:00").timestamp()
    assert next_change([order], at("2024-04-01T00:00:00")) == at("2024-04-30T22:00:00").timestamp()


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        ("Europe/Rome", "2024-03-31", "2024-03-30T23:00:00"),  # the day that summer time begins
        ("Europe/Rome", "2024-04-01", "2024-03-31T22:00:00"),
        ("Europe/Rome", "2024-10-28", "2024-10-27T23:00:00"),
        ("Asia/Kolkata", "2024-02-29", "2024-02-28T18:30:00"),  # a leap day
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00"),  # a midnight that was skipped
        ("Pacific/Kiritimati", "2024-12-31", "2024-12-30T10:00:00"),
    ],
)
def test_a_day_begins_where_the_authority_is(zone: str, day: str, instant: str) -> None:
    order = load(f'kind = "suspend"\nat = {day}', zone=zone)
    order = replace(order, effective=at("2010-01-01T00:00:00"))
    moment = at(instant)
    assert next_change([order], moment - timedelta(seconds=1)) == moment.timestamp()
    assert select_in_force([order], moment - timedelta(seconds=1))
    assert not select_in_force([order], moment)


@pytest.mark.parametrize(
    ("events", "status", "words"),
    [
        (['kind = "resume"\nat = 2024-05-01'], "active", "not suspended then"),
        (['kind = "suspend"\nat = 2024-05-01'], "suspended", "suspended already"),
        (['kind = "suspend"\nat = 2024-05-01'], "lifted", "before the first event"),
        (
            ['kind = "lift"\nat = 2024-05-01', 'kind = "suspend"\nat = 2024-05-02'],
            "active", "after the order was lifted",
        ),
        (['kind = "lift-targets"\nat = 2024-05-01'], "active", "targets go with"),
        (['kind = "lift"\nat = 2024-05-01\ntargets = ["a.org"]'], "active", "targets go with"),
        (
            ['kind = "lift-targets"\nat = 2024-05-01\ntargets = ["http://a.org/"]'],
            "active", "URL",
        ),
        (['kind = "amend-end"\nat = 2024-05-01\nend = 2023-01-01'], "active", "not after eff"),
        (['kind = "lift"\nat = 2024-05-01T00:00:00'], "active", "offset"),
        (['kind = "pause"\nat = 2024-05-01'], "active", "suspend"),
    ],
)  # fmt: skip
def test_wrong_events_are_faults(events: list[str], status: str, words: str) -> None:
    reading = read_order("IT/a.toml", "IT", text(*events, status=status).encode(), lambda n: b"")
    assert reading.order is None
    assert any(words in str(fault) for fault in reading.faults), [str(f) for f in reading.faults]
    assert all(fault.line for fault in reading.faults)


def test_lifting_what_is_no_target_is_a_finding() -> None:
    order = load('kind = "lift-targets"\nat = 2024-05-01\ntargets = ["one.example", "on.example"]')
    _, found = review(order, bundled_known())
    assert [item.message for item in found if item.field == "events"] == [
        "lift-targets of 2024-05-01 lifts what is no target: on.example"
    ]


def states(order: LoadedOrder, moment: str, days: int = 30) -> list[tuple[str, str]]:
    return [(row.what, row.state) for row in due([order], at(moment), timedelta(days))]


def test_what_is_due() -> None:
    order = load(
        'kind = "suspend"\nat = 2024-08-01',
        dates="deadline = 2024-01-20\nexpires = 2025-01-01",
    )
    assert states(order, "2023-12-01T00:00:00") == []
    assert states(order, "2024-01-10T00:00:00") == [("deadline", "coming")]
    assert states(order, "2024-01-25T00:00:00") == [("deadline", "met")]
    assert states(order, "2024-03-25T00:00:00") == []
    assert states(order, "2024-07-25T00:00:00") == [("event", "coming")]
    assert states(order, "2024-12-10T00:00:00") == [("expires", "due")]
    assert states(order, "2025-01-10T00:00:00") == []
    assert states(replace(order, expires=None), "2029-12-10T00:00:00") == [("review", "due")]
    assert states(replace(order, expires=None), "2031-12-10T00:00:00") == [("review", "overdue")]


def test_a_deadline_is_missed_by_a_draft_a_later_order_and_one_that_is_held() -> None:
    dates = "deadline = 2024-01-20"
    assert states(load(status="draft", dates=dates), "2024-01-19T00:00:00") == [("deadline", "due")]
    assert states(load(status="draft", dates=dates), "2024-06-01T00:00:00") == [
        ("deadline", "missed")
    ]
    late = replace(load(dates=dates), effective=at("2024-02-01T00:00:00"))
    assert states(late, "2024-06-01T00:00:00") == [("deadline", "missed")]


def test_the_ledger_says_when_an_order_was_in_force() -> None:
    order, now = load(dates="deadline = 2024-01-20"), at("2024-01-25T00:00:00")
    for enforced, state in (("2024-01-19T00:00:00", "met"), ("2024-01-21T00:00:00", "missed")):
        (row,) = due([order], now, enforced={"a": at(enforced)})
        assert row.state == state
        assert "by the ledger" in row.told
