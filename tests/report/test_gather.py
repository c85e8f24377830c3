"""The figures of a report are those of the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodns.ledger.receipt import instant
from geodns.report.window import Window
from tests.report.story import DAY, HOUR, MONTH, NOVEMBER, OCTOBER, Story, by


def status(document: dict[str, Any], order: str = "it-x") -> str:
    return str(by(document["orders"], "order")[order]["status"])


def test_an_order_in_force_before_and_after_is_counted(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER - 400 * DAY).enforce(OCTOBER - 400 * DAY + 1)
    found = story.report(tmp_path)
    told = found["summary"]
    assert (told["in_force"], told["in_force_during"], told["new"], told["ended"]) == (1, 1, 0, {})
    assert told["targets"] == {"domains": 3, "exact": 1, "below": 0, "networks": 0}
    assert found["over_time"] == [{"at": instant(OCTOBER), "orders": 1}]
    (order,) = found["orders"]
    assert order["periods"] == [
        {"from": instant(OCTOBER - 400 * DAY + 1), "until": None, "effect": "force", "why": None}
    ]


def test_a_new_edition_does_not_break_the_time_in_force(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER + 1).enforce(OCTOBER + 2)
    story.take_in(OCTOBER + DAY, edition="b", targets={"domains": 7}).enforce(
        OCTOBER + DAY + 1, edition="b"
    )
    found = story.report(tmp_path)
    assert len(found["orders"][0]["periods"]) == 1
    assert found["summary"]["targets"]["domains"] == 7
    assert found["summary"]["new"] == 1
    assert found["summary"]["returned"] == 0
    assert found["carried_out"]["editions"] == 2
    assert [step["orders"] for step in found["over_time"]] == [0, 1]


def test_what_is_lifted_at_the_first_instant_ends_in_the_period_but_was_not_in_force_in_it(
    tmp_path: Path,
) -> None:
    story = Story().take_in(OCTOBER - DAY).enforce(OCTOBER - DAY + 1)
    story.add(OCTOBER, "lifted", "it-x", edition="a", why="expired")
    told = story.report(tmp_path)["summary"]
    assert (told["in_force_during"], told["in_force"]) == (0, 0)
    assert told["ended"] == {"expired": 1}


def test_what_is_enforced_or_lifted_at_the_last_instant_is_of_the_next_period(
    tmp_path: Path,
) -> None:
    story = Story().take_in(OCTOBER).enforce(OCTOBER + 1)
    story.add(NOVEMBER, "lifted", "it-x", edition="a", why="removed")
    story.take_in(NOVEMBER - 1, "it-y").enforce(NOVEMBER, "it-y")
    found = story.report(tmp_path)
    assert status(found) == "in force"
    assert status(found, "it-y") == "never"
    assert found["summary"]["ended"] == {}
    after = story.report(tmp_path, Window(NOVEMBER, NOVEMBER + 30 * DAY, NOVEMBER + 40 * DAY))
    assert after["summary"]["ended"] == {"removed": 1}
    assert after["summary"]["new"] == 1


def test_what_ended_before_is_counted_and_not_listed(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER - DAY).enforce(OCTOBER - DAY + 1)
    story.add(OCTOBER - HOUR, "lifted", "it-x", edition="a", why="removed")
    found = story.report(tmp_path)
    assert found["orders"] == []
    assert found["summary"]["earlier"] == 1


@pytest.mark.parametrize(
    ("why", "more", "expected"),
    [
        ("suspended", {}, "suspended"),
        ("expired", {}, "expired"),
        ("superseded", {}, "superseded"),
        ("status", {"detail": "lifted"}, "lifted"),
        ("status", {"detail": "begins 2027-01-01T00:00:00+00:00"}, "other"),
    ],
)
def test_why_an_order_went_out_of_force(
    tmp_path: Path, why: str, more: dict[str, str], expected: str
) -> None:
    story = Story().take_in(OCTOBER).enforce(OCTOBER + 1)
    story.add(OCTOBER + DAY, "lifted", "it-x", edition="a", why=why, **more)
    found = story.report(tmp_path)
    assert status(found) == expected
    assert found["summary"]["ended"] == {expected: 1}


def test_a_suspended_order_that_is_lifted_later_is_lifted(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER).enforce(OCTOBER + 1)
    story.take_in(OCTOBER + DAY, edition="b", status="suspended")
    story.add(OCTOBER + DAY, "lifted", "it-x", edition="a", why="suspended", by="b")
    story.take_in(OCTOBER + 2 * DAY, edition="c", status="lifted")
    assert status(story.report(tmp_path)) == "lifted"


def test_shadow_is_no_force_and_becomes_it(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER - DAY, status="shadow")
    story.enforce(OCTOBER - DAY + 1, shadow=True)
    found = story.report(tmp_path)
    assert status(found) == "shadow"
    assert found["summary"]["in_force_during"] == 0
    assert found["carried_out"]["editions"] == 0
    story.take_in(OCTOBER + DAY, edition="b").enforce(OCTOBER + DAY + 1, edition="b")
    found = story.report(tmp_path)
    assert status(found) == "in force"
    assert found["summary"]["new"] == 1
    assert [each["effect"] for each in found["orders"][0]["periods"]] == ["shadow", "force"]


def test_an_order_all_of_whose_targets_are_held_has_no_force(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER, targets={"domains": 2})
    story.add(
        OCTOBER, "held", "it-x", edition="a", count=2, targets=["a.example", "b.example"],
        findings=["popular"],
    )  # fmt: skip
    story.enforce(OCTOBER + 1)
    found = story.report(tmp_path)
    assert status(found) == "held"
    assert found["summary"]["in_force"] == found["summary"]["new"] == 0
    assert found["guard"]["held"] == 2
    # One of them is let into force.
    story.take_in(OCTOBER + DAY, edition="b", targets={"domains": 2})
    story.add(
        OCTOBER + DAY, "acknowledged", "it-x", target="b.example", finding="popular",
        by="A. Person", reason="it is meant", date="2023-10-02",
    )  # fmt: skip
    story.add(
        OCTOBER + DAY, "held", "it-x", edition="b", count=1, targets=["a.example"],
        findings=["popular"],
    )  # fmt: skip
    story.enforce(OCTOBER + DAY + 1, edition="b")
    found = story.report(tmp_path)
    assert status(found) == "in force"
    assert found["summary"]["new"] == 1
    assert found["where"]["places"] == [{"place": "IT", "orders": 1, "targets": 1}]
    guard = found["guard"]
    assert (guard["held"], guard["found"][0]["count"]) == (1, 2)
    assert guard["acknowledged"][0]["reason"] == "it is meant"
    assert "Person" not in str(found)


def test_what_the_guard_learns_later_does_not_change_what_was(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER, targets={"domains": 1}).enforce(OCTOBER + 1)
    story.add(OCTOBER + DAY, "held", "it-x", edition="a", count=1, targets=["x.example"],
              findings=["popular"])  # fmt: skip
    story.enforce(OCTOBER + DAY + 1, form="a2")
    found = story.report(tmp_path)
    assert [each["effect"] for each in found["orders"][0]["periods"]] == ["force", "held"]
    assert found["summary"]["ended"] == {"held": 1}


def test_targets_found_again_in_the_next_edition_are_not_found_twice(tmp_path: Path) -> None:
    story = Story()
    for day, edition, targets in (
        (-1, "a", ["old.example"]),
        (1, "b", ["old.example", "new.example"]),
        (2, "c", ["new.example"]),
    ):
        at = OCTOBER + day * DAY
        story.take_in(at, edition=edition)
        story.add(
            at, "held", "it-x", edition=edition, count=len(targets), targets=targets,
            findings=["popular"],
        )  # fmt: skip
    (found,) = story.report(tmp_path)["guard"]["found"]
    assert (found["count"], found["targets"], found["held_still"]) == (1, ["new.example"], 1)


def test_interruptions_are_no_time_in_force(tmp_path: Path) -> None:
    story = Story().add(OCTOBER - DAY, "started", version="1", node="ns1")
    story.take_in(OCTOBER - DAY).enforce(OCTOBER - DAY + 1)
    story.add(OCTOBER - HOUR, "stopped", version="1", node="ns1")
    found = story.report(tmp_path)
    assert status(found) == "interrupted"
    assert (found["summary"]["in_force"], found["summary"]["in_force_during"]) == (0, 0)
    assert found["where"]["places"] == []
    story.add(OCTOBER + DAY, "started", version="1", node="ns2")
    found = story.report(tmp_path)
    assert status(found) == "in force"
    assert found["summary"]["in_force_during"] == 1
    assert found["nodes"] == ["ns1", "ns2"]
    assert [each["until"] for each in found["interruptions"]] == [instant(OCTOBER + DAY)]


def test_a_server_that_was_stopped_from_the_first_instant_to_the_last_blocked_nothing(
    tmp_path: Path,
) -> None:
    story = Story().add(OCTOBER - DAY, "started", node="ns1").take_in(OCTOBER - DAY)
    story.enforce(OCTOBER - DAY + 1).add(OCTOBER, "stopped", node="ns1")
    story.add(NOVEMBER, "started", node="ns1")
    told = story.report(tmp_path)["summary"]
    assert (told["in_force_during"], told["in_force"], told["runs"]) == (0, 0, False)


def test_after_a_crash_it_is_said_that_the_server_may_not_have_run(tmp_path: Path) -> None:
    story = Story().add(OCTOBER - DAY, "started", version="1", node="ns1")
    story.take_in(OCTOBER - DAY).enforce(OCTOBER + 5)
    # What is taken in before the start does not show that it ran.
    story.take_in(OCTOBER + DAY - 1, edition="b")
    story.add(OCTOBER + DAY - 1, "held", "it-x", edition="b", count=0, targets=[], findings=[])
    story.add(OCTOBER + DAY - 1, "refused", file="it-z.toml", faults=[{}])
    story.add(OCTOBER + DAY, "started", version="1", node="ns1")
    story.add(OCTOBER + DAY, "gap", entries=3, since=OCTOBER)
    found = story.report(tmp_path)
    (crash,) = found["interruptions"]
    assert (crash["from"], crash["why"]) == (instant(OCTOBER + 5), "its end was not recorded")
    assert found["gaps"] == [{"at": instant(OCTOBER + DAY), "entries": 3}]


def test_verified_is_said_of_what_is_in_force_only(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER).enforce(OCTOBER + 1)
    story.add(OCTOBER + 2, "verified", "it-x", edition="a", form="a", name="x.example")
    (order,) = story.report(tmp_path)["orders"]
    assert order["verified"] == instant(OCTOBER + 2)
    story.take_in(OCTOBER + DAY, edition="b").enforce(OCTOBER + DAY, edition="b")
    (order,) = story.report(tmp_path)["orders"]
    assert order["verified"] is None


def test_a_ledger_without_entries_or_of_another_time_gives_a_report(tmp_path: Path) -> None:
    found = Story().report(tmp_path)
    assert found["orders"] == []
    assert found["ledger"]["whole"]
    assert found["ledger"]["begins"] is None
    story = Story().take_in(NOVEMBER + 1).enforce(NOVEMBER + 2).count(NOVEMBER, IT=50)
    found = story.report(tmp_path)
    assert found["orders"] == []
    assert found["blocked"]["high"] == 0
    future = Window(NOVEMBER + 50 * DAY, NOVEMBER + 60 * DAY, NOVEMBER + 40 * DAY)
    assert status(story.report(tmp_path, future)) == "in force"


def test_what_has_lost_its_beginning_is_told_all_the_same(tmp_path: Path) -> None:
    story = Story().enforce(OCTOBER + 1).count(OCTOBER, "it-y", IT=50)
    found = story.report(tmp_path)
    assert status(found) == "in force"
    assert by(found["orders"], "order")["it-x"]["title"] is None
    assert found["blocked"]["orders"][0]["order"] == "it-y"


# Against an oracle that plays the entries back and looks at every hour.

acts = st.lists(
    st.tuples(
        st.integers(-40, 800),
        st.sampled_from(["it-a", "it-b", "it-c"]),
        st.sampled_from(["force", "shadow", "lifted", "off"]),
    ),
    max_size=14,
    unique_by=lambda act: act[0],
)


@given(acts)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_times_in_force_against_an_oracle(tmp_path: Path, acts: list[Any]) -> None:
    story = Story().add(OCTOBER - 50 * HOUR, "started", node="ns1")
    state: dict[str, str] = {}
    runs = True
    timeline: dict[int, tuple[dict[str, str], bool]] = {}
    for at, order, act in sorted(acts):
        when = OCTOBER + at * HOUR
        if act == "off":
            runs = not runs
            story.add(when, "started" if runs else "stopped", node="ns1")
        elif not runs:
            continue
        elif act == "lifted":
            if order in state:
                story.add(when, "lifted", order, edition="a", why="removed")
                del state[order]
        else:
            story.take_in(when, order, edition=f"{at}")
            story.enforce(when, order, edition=f"{at}", shadow=act == "shadow")
            state[order] = act
        timeline[at] = dict(state), runs
    found = story.report(tmp_path)

    def here(hour: int) -> tuple[dict[str, str], bool]:
        past = [at for at in timeline if at <= hour]
        return timeline[max(past)] if past else ({}, True)

    hours = range((int(NOVEMBER) - int(OCTOBER)) // HOUR)
    during, forced = set(), {}
    for hour in hours:
        there, running = here(hour)
        forced[hour] = {order for order, what in there.items() if what == "force"}
        if running:
            during |= forced[hour]
    running = here(hours[-1])[1]
    told = found["summary"]
    assert told["in_force_during"] == len(during)
    assert told["in_force"] == (len(forced[hours[-1]]) if running else 0)
    assert told["runs"] == running
    # When it was in force first, over all of the past, and how often it ended in the window.
    before = {at: {o for o, what in here(at)[0].items() if what == "force"} for at in range(-41, 0)}
    known = set().union(*before.values())
    fresh, ends, previous = set(), 0, before[-1]
    for hour in hours:
        fresh |= forced[hour] - known
        known |= forced[hour]
        ends += len(previous - forced[hour])
        previous = forced[hour]
    assert told["new"] == len(fresh)
    assert sum(told["ended"].values()) == ends
    # The course of it, hour by hour.
    steps = {each["at"]: each["orders"] for each in found["over_time"]}
    count = 0
    for hour in hours:
        count = steps.get(instant(OCTOBER + hour * HOUR), count)
        assert count == len(forced[hour])
    assert MONTH.end == NOVEMBER
