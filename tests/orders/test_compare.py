"""What changes for whom between two sets of orders."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model.name import parse
from geodns.model.place import Location
from geodns.orders.compare import Change, Comparison, compare, spelt, text_of
from geodns.orders.guard.judge import bundled_known
from geodns.orders.guard.review import review
from geodns.orders.loaded import LoadedOrder
from geodns.orders.net import Target, Turn
from geodns.orders.places import ELSEWHERE, UNKNOWN
from geodns.orders.read import read_order
from geodns.policy.compile import compile_snapshot, select_in_force
from geodns.policy.rule import Rules
from geodns.policy.scope import Scopes
from geodns.policy.snapshot import Snapshot

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def order(ident: str = "a", place: str = "IT", more: str = "", **keys: object) -> LoadedOrder:
    """An order; keys: dotted with ``__``, TOML values as text."""
    values = {
        "status": '"active"',
        "dates__effective": "2024-01-01",
        "targets__domains": '["x.example"]',
        **keys,
    }
    tables: dict[str, list[str]] = {
        "": [f'id = "{ident}"', 'title = "t"'],
        "authority": ['name = "A"', 'kind = "court"'],
    }
    for key, value in values.items():
        table, _, name = key.rpartition("__")
        tables.setdefault(table, []).append(f"{name} = {value}")
    text = "\n".join(tables.pop("")) + "\n"
    text += "".join(f"[{table}]\n" + "\n".join(rows) + "\n" for table, rows in tables.items())
    reading = read_order(f"{place}/{ident}.toml", place, (text + more).encode(), lambda _: b"")
    assert [str(fault) for fault in reading.faults] == []
    assert reading.order is not None
    return review(reading.order, bundled_known())[0]


def diff(before: list[LoadedOrder], after: list[LoadedOrder], now: datetime = NOW) -> Comparison:
    return compare(before, after, now, select_in_force)


def told(found: Comparison) -> list[tuple[Any, ...]]:
    """Turns as (places, verdict, from, until, by, targets)."""
    return [
        (
            " ".join(turn.places) + (f" less {' '.join(turn.but)}" if turn.but else ""),
            turn.verdict,
            turn.start and turn.start.date().isoformat(),
            turn.end and turn.end.date().isoformat(),
            " ".join(turn.by),
            [spelt(target) for target in turn.targets],
        )
        for turn in found.turns
    ]


def lines(found: Comparison) -> dict[str, tuple[Any, ...]]:
    (change,) = found.changes
    return {
        line.key: (line.told, tuple(map(text_of, line.added)), tuple(map(text_of, line.gone)))
        for line in change.lines
    }


def only(found: Comparison) -> Change:
    (change,) = found.changes
    return change


def test_nothing_changes() -> None:
    found = diff([order()], [order()])
    assert (found.changes, found.turns, found.answers) == ((), (), False)


def test_an_order_comes_and_goes() -> None:
    found = diff([order("a")], [order("b", "FR")])
    assert told(found) == [
        ("FR", "blocked", None, None, "b", ["x.example"]),
        ("IT", "freed", None, None, "a", ["x.example"]),
    ]
    assert [(each.order, each.what) for each in found.changes] == [("b", "added"), ("a", "removed")]
    assert found.answers


def test_names_come_and_go_with_their_kind() -> None:
    a = order(targets__domains='["x.example", "y.example"]', targets__networks='["192.0.2.0/24"]')
    b = order(targets__domains='["y.example"]', targets__exact='["x.example"]')
    found = diff([a], [b])
    assert told(found) == [
        ("IT", "freed", None, None, "a", ["x.example (only what is below)", "192.0.2.0/24"]),
    ]
    assert lines(found) == {
        "targets.domains": ("", (), ("x.example",)),
        "targets.exact": ("", ("x.example",), ()),
        "targets.networks": ("", (), ("192.0.2.0/24",)),
    }


def test_what_another_order_blocks_stays_blocked() -> None:
    a = order(targets__domains='["x.example", "y.example"]')
    b = order(targets__domains='["y.example"]')
    other = order("other", targets__domains='["example"]', more=_acknowledged("example"))
    assert told(diff([a, other], [b, other])) == [
        ("IT", "kept", None, None, "other", ["x.example"]),
    ]
    # Elsewhere it does not help.
    other = order("other", "FR", targets__domains='["x.example"]')
    assert told(diff([a, other], [b, other])) == [("IT", "freed", None, None, "a", ["x.example"])]
    # Nor while it is suspended, nor what it exempts.
    for keys in ({"status": '"suspended"'}, {"targets__exempt": '["x.example"]'}):
        other = order("other", targets__domains='["example.com", "x.example"]', **keys)
        assert told(diff([a, other], [b, other]))[0][1] == "freed"


def _acknowledged(target: str) -> str:
    return (
        f'[[acknowledge]]\ntarget = "{target}"\nfinding = "single-label"\nby = "P"\n'
        'reason = "r"\ndate = 2026-01-01\n'
    )


def test_what_another_order_blocks_already_is_not_blocked_anew() -> None:
    other = order("other", targets__domains='["x.example"]')
    b = order("b", targets__domains='["www.x.example", "z.example"]')
    assert told(diff([other], [other, b])) == [
        ("IT", "blocked", None, None, "b", ["z.example"]),
        ("IT", "already", None, None, "other", ["www.x.example"]),
    ]


def test_what_the_other_order_exempts_is_blocked_anew() -> None:
    other = order("other", targets__exempt='["press.x.example"]')
    assert told(diff([other], [other, order("b")])) == [
        ("IT", "blocked", None, None, "b", ["press.x.example"]),
        ("IT", "already", None, None, "other", ["x.example"]),
    ]
    lifting = "[[events]]\nkind = 'lift-targets'\nat = 2026-02-01\ntargets = ['w.x.example']\n"
    other = order("other", more=lifting)
    assert told(diff([other, order("b")], [other]))[0] == (
        *("IT", "freed", None, None, "b", ["w.x.example"]),
    )


def test_the_other_order_ends_later() -> None:
    a, b = order(), order(targets__domains='["y.example"]')
    other = order("other", dates__expires="2027-01-01")
    assert told(diff([a, other], [b, other])) == [
        ("IT", "blocked", None, None, "a", ["y.example"]),
        ("IT", "kept", None, "2027-01-01", "other", ["x.example"]),
        ("IT", "freed", "2027-01-01", None, "a", ["x.example"]),
    ]


def test_what_begins_and_ends_later_is_told_with_its_dates() -> None:
    new = order(dates__effective="2026-12-01", dates__expires="2028-01-01")
    found = diff([], [new])
    assert told(found) == [("IT", "blocked", "2026-12-01", "2028-01-01", "a", ["x.example"])]
    assert found.answers
    assert not diff([], [new], datetime(2028, 1, 1, tzinfo=UTC)).answers
    found = diff([new], [order(dates__effective="2026-12-05", dates__expires="2028-01-01")])
    assert told(found) == [("IT", "freed", "2026-12-01", "2026-12-05", "a", ["x.example"])]
    assert (
        lines(found)["dates.effective"][0] == "in force from 2026-12-05, later: it was 2026-12-01"
    )


def test_events_switch_by_themselves() -> None:
    more = (
        "[[events]]\nkind = 'suspend'\nat = 2026-07-01\nreason = 'appeal'\n"
        "[[events]]\nkind = 'resume'\nat = 2026-08-01\n"
        "[[events]]\nkind = 'lift-targets'\nat = 2026-09-01\ntargets = ['x.example']\n"
    )
    names = '["x.example", "y.example"]'
    found = diff([order(targets__domains=names)], [order(targets__domains=names, more=more)])
    assert told(found) == [
        ("IT", "freed", "2026-07-01", "2026-08-01", "a", ["x.example", "y.example"]),
        ("IT", "freed", "2026-09-01", None, "a", ["x.example"]),
    ]
    assert lines(found)["events"][1] == (
        *("suspend 2026-07-01: appeal", "resume 2026-08-01", "lift-targets 2026-09-01 x.example"),
    )


def test_who_gains_and_who_loses() -> None:
    found = diff([order(jurisdiction='["IT", "SM"]')], [order(jurisdiction='["IT", "FR"]')])
    assert told(found) == [
        ("FR", "blocked", None, None, "a", ["x.example"]),
        ("SM", "freed", None, None, "a", ["x.example"]),
    ]
    assert lines(found)["jurisdiction"] == ("", ("FR",), ("SM",))


def test_an_order_that_moves_to_another_folder() -> None:
    found = diff([order()], [order("a", "FR")])
    assert [row[:2] for row in told(found)] == [("FR", "blocked"), ("IT", "freed")]
    assert lines(found)["authority.place"][0] == "IT -> FR"


def test_everywhere_less_what_is_carved_out() -> None:
    world = {"jurisdiction": '"global"', "global_reason": '"r"'}
    found = diff([], [order(**world, **{"except": '["SM"]'})])
    assert told(found) == [(f"{ELSEWHERE} less SM", "blocked", None, None, "a", ["x.example"])]
    found = diff([order()], [order(**world)])
    assert told(found) == [
        (f"{ELSEWHERE} {UNKNOWN} less IT", "blocked", None, None, "a", ["x.example"])
    ]


def test_networks_and_parts_of_countries_are_places_of_their_own() -> None:
    found = diff([order()], [order(**{"except": '["AS64496"]'})])
    assert told(found) == [("AS64496 in IT", "freed", None, None, "a", ["x.example"])]
    found = diff([], [order("a", "US", **{"except": '["US-CA"]'})])
    assert told(found) == [("US less US-CA", "blocked", None, None, "a", ["x.example"])]
    found = diff([], [order("a", "US", jurisdiction='["US-CA", "AS64496"]')])
    assert told(found) == [("AS64496 US-CA", "blocked", None, None, "a", ["x.example"])]
    both = [order("a", "US"), order("b", "US", jurisdiction='["US-CA"]')]
    assert told(diff(both[1:], both)) == [
        ("US less US-CA", "blocked", None, None, "a", ["x.example"]),
        ("US-CA", "already", None, None, "b", ["x.example"]),
    ]


def test_clients_that_cannot_be_located() -> None:
    found = diff([order()], [order(on_unknown='"block"')])
    assert told(found) == [(UNKNOWN, "blocked", None, None, "a", ["x.example"])]


def test_what_an_order_supersedes_is_out_of_force() -> None:
    old = order("old", targets__domains='["x.example", "y.example"]')
    new = order("new", supersedes='["old"]', dates__effective="2026-07-01")
    assert told(diff([old], [old, new])) == [
        ("IT", "freed", "2026-07-01", None, "old", ["y.example"]),
        ("IT", "kept", "2026-07-01", None, "new", ["x.example"]),
    ]


def test_held_targets_and_those_that_are_acknowledged() -> None:
    names = {"targets__domains": '["bit.ly", "x.example"]'}
    more = _acknowledged("bit.ly").replace("single-label", "platform")
    found = diff([order(**names)], [order(**names, more=more)])
    assert told(found) == [("IT", "blocked", None, None, "a", ["bit.ly"])]
    assert lines(found)["released"][1] == ("bit.ly (platform)",)
    found = diff([order()], [order(**names)])
    assert (told(found), lines(found)["held"][1]) == ([], ("bit.ly (platform)",))
    assert not found.answers


def test_exempt_names() -> None:
    found = diff([order()], [order(targets__exempt='["free.x.example", "z.example"]')])
    assert told(found) == [("IT", "freed", None, None, "a", ["free.x.example"])]


@pytest.mark.parametrize("status", ['"draft"', '"shadow"', '"lifted"', '"suspended"'])
def test_an_order_without_force_changes_no_answer(status: str) -> None:
    found = diff([], [order(status=status)])
    assert (told(found), found.answers, only(found).answers) == ([], False, False)


def test_comments_and_the_record_change_no_answer() -> None:
    found = diff([order()], [order(more="# a comment\n")])
    assert (found.answers, lines(found)["record"][0]) == (False, "comments or spelling")
    found = diff([order()], [order(sources='["s"]', dates__review="2027-01-01")])
    assert not found.answers
    assert lines(found) == {
        "dates.review": ("none -> 2027-01-01", (), ()),
        "record": ("sources", (), ()),
    }


def test_what_is_told_changes_what_clients_get() -> None:
    found = diff([order()], [order(disclosure__text='"Blocked."', response__action='"nodata"')])
    assert (told(found), found.answers) == ([], True)
    assert lines(found) == {
        "response.action": ("nxdomain -> nodata", (), ()),
        "disclosure.text": ("none -> Blocked.", (), ()),
    }
    drafts = [order(status='"draft"', disclosure__text=text) for text in ('"a"', '"b"')]
    assert not diff(drafts[:1], drafts[1:]).answers


def test_long_lists() -> None:
    names = [f"n{number}.example" for number in range(5_000)]
    text = ", ".join(f'"{name}"' for name in names)
    a = order(targets__domains=f"[{text}]")
    b = order(targets__domains=f"[{text.replace('n7.example', 'new.example')}]")
    other = order("other", targets__domains=f"[{text}]")
    assert told(diff([a], [b])) == [
        ("IT", "blocked", None, None, "a", ["new.example"]),
        ("IT", "freed", None, None, "a", ["n7.example"]),
    ]
    (turn,) = diff([a, other], [other]).turns
    assert (turn.verdict, len(turn.targets)) == ("kept", 5_000)


# What is told must be what the server's own rulings say, whatever the orders.

NAMES = ("x.example", "a.x.example", "b.a.x.example", "y.example", "example")
PLACES = {
    "IT": Location("IT"),
    "SM": Location("SM"),
    "FR": Location("FR"),
    UNKNOWN: Location(None),
}
some = st.lists(st.sampled_from(NAMES), max_size=3, unique=True)
days = st.sampled_from([date(2026, month, 1) for month in (1, 5, 6, 7, 9)])


@st.composite
def orders(draw: st.DrawFn, ident: str) -> LoadedOrder:
    keys: dict[str, Any] = {}
    for key in ("exact", "below", "exempt"):
        keys[f"targets__{key}"] = str(draw(some)).replace("'", '"')
    keys["targets__domains"] = str(draw(some) or ["y.example"]).replace("'", '"')
    keys["jurisdiction"] = draw(
        st.sampled_from(['["IT"]', '["IT", "SM"]', '["FR"]', '["EU"]', '"global"'])
    )
    if "global" in keys["jurisdiction"]:
        keys["global_reason"] = '"r"'
    keys["except"] = draw(st.sampled_from(["[]", '["SM"]', '["FR"]']))
    keys["on_unknown"] = draw(st.sampled_from(['"allow"', '"block"']))
    keys["status"] = draw(st.sampled_from(['"active"', '"active"', '"shadow"', '"suspended"']))
    keys["supersedes"] = draw(st.sampled_from(["[]", '["other"]' if ident != "other" else "[]"]))
    keys["dates__effective"] = draw(days).isoformat()
    end = draw(st.sampled_from([None, "2026-09-15", "2027-01-01"]))
    if end is not None:
        keys["dates__expires"] = end
    more = _acknowledged("example")
    if draw(st.booleans()):
        kind = "resume" if keys["status"] == '"suspended"' else "suspend"
        more += f"[[events]]\nkind = '{kind}'\nat = {draw(days).isoformat()}\n"
    return order(ident, more=more, **keys)


sets = st.sampled_from([("a",), ("a", "b"), ("a", "other"), ("a", "b", "other")]).flatmap(
    lambda ids: st.tuples(*(orders(ident) for ident in ids))
)


PROBES = tuple(probe for name in NAMES for probe in (name, f"zz.{name}"))
"""Each name, and one below it that nobody names."""


def blocked(loaded: tuple[LoadedOrder, ...], at: datetime) -> dict[tuple[str, str], bool]:
    """By place and name, whether the server blocks it at an instant."""
    snapshot = Snapshot(compile_snapshot(loaded, at))
    scopes = Scopes(snapshot.reaches, list(PLACES.values()))
    rules = Rules(snapshot, scopes)
    return {
        (place, name): rules.rule_question(parse(name), scopes.class_of(number))[0].block
        for number, place in enumerate(PLACES)
        for name in PROBES
    }


@settings(max_examples=150, deadline=None)
@given(sets, sets)
def test_it_says_what_the_servers_rulings_say(
    before: tuple[LoadedOrder, ...], after: tuple[LoadedOrder, ...]
) -> None:
    turns = diff(list(before), list(after)).turns
    for at in (NOW, *(datetime(2026, month, 2, tzinfo=UTC) for month in (7, 9, 12))):
        was, will = blocked(before, at), blocked(after, at)
        said = {
            (place, probe): turn.verdict
            for turn in turns
            for place in PLACES
            if _has_force(turn, place, at)
            for target in turn.targets
            for probe in _probes(target)
        }
        for (place, probe), verdict in said.items():
            states = was[place, probe], will[place, probe]
            assert (verdict in ("kept", "already")) == (states == (True, True))
            assert (verdict == "blocked") == (states == (False, True))
            assert (verdict == "freed") == (states == (True, False))
        for (place, probe), state in was.items():
            if state != will[place, probe]:
                verdict = "freed" if state else "blocked"
                above = ["zz." + name for name in NAMES if probe.endswith("." + name)]
                heard = [said.get((place, each)) for each in (probe, *above)]
                assert verdict in heard, (at, place, probe)


def _has_force(turn: Turn, place: str, at: datetime) -> bool:
    here = place in turn.places or (
        ELSEWHERE in turn.places and place != UNKNOWN and place not in turn.but
    )
    begun = turn.start is None or turn.start <= at
    return here and begun and (turn.end is None or at < turn.end)


def _probes(target: Target) -> list[str]:
    sort, name = target
    text = text_of(name)
    return [text] * (sort != "below") + [f"zz.{text}"] * (sort != "exact")
