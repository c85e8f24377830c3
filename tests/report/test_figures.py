"""Counts, times, deadlines and lists of a report are those of the ledger."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodns.report.window import Window
from tests.report.story import DAY, HOUR, NOVEMBER, OCTOBER, Story, by, iso


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
