"""The figures of a report are those of the ledger."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodns.ledger.receipt import instant
from geodns.report.window import Window
from tests.report.story import DAY, HOUR, MONTH, NOVEMBER, OCTOBER, Story, by, iso


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


def test_counts_belong_to_the_hour_they_are_of(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER - DAY).enforce(OCTOBER - DAY + 1)
    # Written in the period, and of an hour before it; the other way round; twice an hour.
    story.count(OCTOBER - HOUR, IT=1000).count(NOVEMBER - HOUR, IT=100)
    story.count(NOVEMBER, IT=5000).count(OCTOBER, IT=20).count(OCTOBER, IT=30, FR=40)
    story.count(OCTOBER, shadow=True, IT=77)
    found = story.report(tmp_path)
    blocked = found["blocked"]
    assert (blocked["low"], blocked["high"]) == (190, 190)
    assert by(blocked["places"], "place")["IT"]["low"] == 150
    bins = {each["from"][:10]: each["count"] for each in blocked["over_time"]["bins"]}
    assert len(bins) == 31
    assert (bins["2023-10-01"], bins["2023-10-02"], bins["2023-10-31"]) == (90, 0, 100)
    assert found["shadow"]["low"] == 77


def test_a_window_that_begins_within_an_hour_leaves_that_hour_out(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER - DAY).enforce(OCTOBER - DAY + 1)
    story.count(OCTOBER, IT=50).count(OCTOBER + HOUR, IT=60)
    window = Window(OCTOBER + 1800, OCTOBER + DAY + 1800, NOVEMBER)
    blocked = story.report(tmp_path, window)["blocked"]
    assert blocked["low"] == 60
    assert [each["count"] for each in blocked["over_time"]["bins"]] == [60, 0]


def test_a_day_is_not_told_where_it_gives_away_what_one_order_counted_on_it(
    tmp_path: Path,
) -> None:
    story = Story().take_in(OCTOBER - DAY).enforce(OCTOBER - DAY + 1)
    story.take_in(OCTOBER + DAY, "it-y").enforce(OCTOBER + DAY, "it-y")
    story.add(OCTOBER + 2 * DAY - 1, "lifted", "it-y", edition="a", why="removed")
    for day in (0, 2, 3):
        story.count(OCTOBER + day * DAY, IT=50)
    story.count(OCTOBER + DAY, "it-y", IT=45)
    assert story.report(tmp_path)["blocked"]["over_time"]["step"] == "day"
    story.count(OCTOBER + DAY, IT=3)
    assert story.report(tmp_path)["blocked"]["over_time"]["step"] == "week"


def test_what_comes_back_by_the_clock_was_not_late(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER).enforce(OCTOBER + 2, late=2.0)
    story.add(OCTOBER + DAY, "lifted", "it-x", edition="a", why="suspended")
    story.enforce(OCTOBER + 9 * DAY, late=9.0 * DAY)
    story.enforce(OCTOBER + 10 * DAY, late=10.0 * DAY, form="a2")
    # An edition that says it is suspended, and is to come back on a day.
    story.take_in(OCTOBER + 11 * DAY, edition="b", status="suspended")
    story.add(OCTOBER + 11 * DAY, "lifted", "it-x", edition="a", why="suspended", by="b")
    story.enforce(OCTOBER + 20 * DAY, edition="b", late=9.0 * DAY)
    # One that was suspended when it came, and was resumed.
    story.take_in(OCTOBER, "it-y", status="suspended").enforce(OCTOBER + DAY, "it-y", late=DAY)
    found = story.report(tmp_path)
    assert found["carried_out"]["editions"] == 1
    assert found["carried_out"]["slowest"]["seconds"] == 2.0
    assert found["summary"]["returned"] == 1
    assert found["summary"]["ended"] == {"suspended": 2}


@given(st.lists(st.floats(0, 200_000).map(lambda each: round(each, 3)), max_size=12))
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_times_to_force(tmp_path: Path, times: list[float]) -> None:
    story = Story()
    for at, late in enumerate(times):
        story.take_in(OCTOBER + at, f"it-{at}").enforce(OCTOBER + at + late, f"it-{at}", late=late)
    found = story.report(tmp_path)["carried_out"]
    assert found["editions"] == len(times)
    assert found["median"] == (round(median(times), 3) if times else None)
    assert (found["slowest"] or {}).get("seconds") == max(times, default=None)
    expected = [
        sum(each <= 1 for each in times),
        sum(1 < each <= 10 for each in times),
        sum(10 < each <= 60 for each in times),
        sum(60 < each <= 1800 for each in times),
        sum(1800 < each <= 86400 for each in times),
        sum(each > 86400 for each in times),
    ]
    assert [each["editions"] for each in found["distribution"]] == expected


def test_deadlines(tmp_path: Path) -> None:
    story, deadline = Story(), iso(OCTOBER + DAY)
    for order, received, enforced in (
        ("it-met", OCTOBER, OCTOBER + DAY),
        ("it-missed", OCTOBER, OCTOBER + DAY + 1),
        ("it-never", OCTOBER, None),
        ("it-old", OCTOBER + 2 * DAY, OCTOBER + 2 * DAY + 1),
    ):
        story.take_in(received, order, deadline=deadline)
        if enforced is not None:
            story.enforce(enforced, order)
    story.take_in(OCTOBER, "it-draft", deadline=deadline, status="draft")
    story.take_in(OCTOBER, "it-other", deadline=iso(NOVEMBER)).enforce(OCTOBER + 1, "it-other")
    assert story.report(tmp_path)["carried_out"]["deadlines"] == {
        "met": ["it-met"],
        "missed": ["it-missed", "it-never"],
        "received late": ["it-old"],
        "coming": [],
    }
    soon = Window(OCTOBER, NOVEMBER, OCTOBER + HOUR)
    story.drafts = [each for each in story.drafts if each.at <= soon.now]
    assert story.report(tmp_path, soon)["carried_out"]["deadlines"]["coming"] == [
        *("it-draft", "it-met", "it-missed", "it-never"),
    ]


def test_lists_and_refusals(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER - DAY)
    source = "https://user:secret@list.example/a.csv?token=secret#x"
    for at, taken, added, gone, reasons in (
        (OCTOBER - HOUR, 5, 5, 0, {"path": 1}),
        (OCTOBER + 1, 7, 3, 1, {"path": 2}),
        (OCTOBER + 2, 6, 0, 1, {"path": 3, "duplicate": 1}),
    ):
        story.add(
            at, "feed", "it-x", source=source, sha256="0", taken=taken, added=added, gone=gone,
            reasons=reasons,
        )  # fmt: skip
    story.add(OCTOBER + 3, "refused", file="/srv/orders/IT/it-x.toml", faults=[{}, {}])
    story.add(OCTOBER + 4, "refused", file=None, faults=[{}])
    found = story.report(tmp_path)
    assert found["lists"] == [
        {
            "order": "it-x",
            "source": "https://list.example/a.csv",
            "editions": 2,
            "taken": 6,
            "added": 3,
            "gone": 2,
            "rejected": {"duplicate": 1, "path": 3},
        }
    ]
    refused = [(each["file"], each["faults"]) for each in found["guard"]["refused"]]
    assert refused == [("it-x.toml", 2), (None, 1)]
    assert "secret" not in str(found)
    assert "/srv" not in str(found)


def test_verified_is_said_of_what_is_in_force_only(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER).enforce(OCTOBER + 1)
    story.add(OCTOBER + 2, "verified", "it-x", edition="a", form="a", name="x.example")
    (order,) = story.report(tmp_path)["orders"]
    assert order["verified"] == instant(OCTOBER + 2)
    story.take_in(OCTOBER + DAY, edition="b").enforce(OCTOBER + DAY, edition="b")
    (order,) = story.report(tmp_path)["orders"]
    assert order["verified"] is None


def test_by_authority_and_place(tmp_path: Path) -> None:
    story = Story()
    for order, more in (
        ("it-a", {}),
        ("it-b", {"jurisdiction": ["IT", "SM"], "targets": {"domains": 10}}),
        ("eu-c", {"jurisdiction": ["EU"], "except": ["FR"], "authority": "Council",
                  "kind": "regulator", "place": "EU", "targets": {"domains": 100}}),
        ("us-d", {"jurisdiction": ["US-CA"], "place": "US", "targets": {"domains": 1000}}),
        ("de-e", {"jurisdiction": ["AS3269", "DE"], "except": ["DE-BY"]}),
        ("us-f", {"jurisdiction": "global", "except": ["CN"], "targets": {"networks": 10_000}}),
    ):  # fmt: skip
        story.take_in(OCTOBER, order, **more).enforce(OCTOBER + 1, order)
    found = story.report(tmp_path)
    places = {row["place"]: (row["orders"], row["targets"]) for row in found["where"]["places"]}
    assert places["IT"] == (3, 114)
    assert places["SM"] == (1, 10)
    assert places["DE"] == (2, 104)
    assert places["AS3269"] == (1, 4)
    assert places["US-CA"] == (1, 1000)
    assert "FR" not in places and "US" not in places
    assert found["where"]["everywhere"] == {"orders": 1, "targets": 10_000, "except": ["CN"]}
    atlas = found["where"]["map"]
    assert atlas["counts"]["IT"] == 10_114
    assert atlas["counts"]["FR"] == atlas["counts"]["US"] == 10_000
    # Of Germany one order takes in a part, another all.
    assert atlas["counts"]["DE"] == 10_100
    assert "CN" not in atlas["counts"]
    assert atlas["partly"] == []
    assert atlas["operators"] == ["AS3269"]
    council = by(found["authorities"], "authority")["Council"]
    assert (council["orders"], council["in_force"], council["targets"]) == (1, 1, 100)
    assert found["authorities"][0]["authority"] == "Tribunale di Milano"
    story.drafts = [each for each in story.drafts if each.order == "us-d"]
    atlas = story.report(tmp_path)["where"]["map"]
    assert (atlas["counts"], atlas["partly"]) == ({}, ["US"])


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
