"""What an API is told of its items: each once, nothing lost, whatever breaks."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from geodns.cli.main import call
from geodns.orders.feeds.due import fed
from geodns.orders.feeds.kept import KeptFeed
from geodns.orders.feeds.outbox import WINDOW, Item, Reported
from tests.orders.feeds.shield_api import (
    REPORT,
    ShieldApi,
)
from tests.orders.feeds.shield_desk import Desk


def test_each_item_is_told_of_once_and_another_ticket_again(tmp_path: Path, api: ShieldApi) -> None:
    api.add("one.example", "co.uk", opened=time.time() - 90)
    desk = Desk(tmp_path, api.url)
    desk.refresh()
    assert desk.outbox().waiting == 2
    wanted = {"one.example": "processed", "co.uk": "public suffix", "gone.example": "processed"}
    assert desk.report(wanted) == Reported(2, 0, 0, None)
    assert api.reports == [("one.example", "processed"), ("co.uk", "public suffix")]
    assert desk.slowest is not None
    assert desk.slowest >= 90.0
    assert desk.report(wanted).told == 0, "it knows already"
    api.add("two.example")
    desk.refresh()
    assert desk.report({**wanted, "two.example": "processed"}).told == 1
    api.add("one.example", opened=time.time() + 1)
    desk.refresh()
    assert desk.report(wanted).told == 1
    assert api.reports[-1] == ("one.example", "processed")


def test_what_was_held_is_told_of_again_once_it_is_in_force(tmp_path: Path, api: ShieldApi) -> None:
    api.add("one.example")
    desk = Desk(tmp_path, api.url, 'reason = "NOT_DONE"')
    desk.refresh()
    desk.report({"one.example": "it is held"})
    desk.report({"one.example": "processed"})
    assert api.reports == [("one.example", "NOT_DONE"), ("one.example", "processed")]


def test_what_was_opened_long_ago_is_blocked_and_not_told_of(
    tmp_path: Path, api: ShieldApi
) -> None:
    now = time.time()
    api.add("old.example", opened=now - WINDOW - 60)
    api.add("new.example", opened=now - WINDOW + 60)
    desk = Desk(tmp_path, api.url)
    desk.refresh(now)
    assert desk.names() == ["new.example", "old.example"]
    assert set(desk.outbox().items) == {"new.example"}
    desk.report({"new.example": "processed"}, now)
    api.add("another.example", opened=now)
    desk.refresh(now + 120)
    assert set(desk.outbox().items) == {"another.example"}, "nobody asks for the others any more"


def test_while_the_platform_fails_reports_wait_and_none_is_lost(
    tmp_path: Path, api: ShieldApi
) -> None:
    names = [f"n{number}.example" for number in range(5)]
    api.add(*names)
    desk = Desk(tmp_path, api.url)
    now = time.time()
    desk.refresh(now)
    wanted = dict.fromkeys(names, "processed")
    broken = [(500, "")] * 2 * 3  # three items, each tried twice
    api.faults = {f"{REPORT}processed": [(200, "{}"), (200, "{}"), *broken]}
    done = desk.report(wanted, now)
    assert (done.told, done.waiting) == (2, 3)
    assert "answered 500" in (done.fault or "")
    (each,) = fed([desk.order()], desk.feeds)
    assert each.reports_due == now + 60
    assert "reports wait: " in (each.fault or "")
    assert desk.report(wanted, now + 60) == Reported(3, 0, 0, None)
    assert sorted(api.reports) == [(name, "processed") for name in names[2:]]
    (each,) = fed([desk.order()], desk.feeds)
    assert (each.fault, each.reports_due) == (None, 0.0)


def test_a_report_that_is_refused_holds_up_no_other_and_is_given_up_in_the_end(
    tmp_path: Path, api: ShieldApi
) -> None:
    api.add("one.example", "two.example")
    api.unknown.add("one.example")
    desk = Desk(tmp_path, api.url)
    now = time.time()
    desk.refresh(now)
    wanted = {"one.example": "processed", "two.example": "processed"}
    done = desk.report(wanted, now)
    assert (done.told, done.waiting, done.given_up) == (1, 1, 0)
    assert "1 reports are refused, the first about one.example: " in (done.fault or "")
    assert desk.report(wanted, now + WINDOW + 60) == Reported(0, 0, 1, None)
    assert desk.report(wanted, now + WINDOW + 120).given_up == 0


def test_an_item_that_breaks_the_platform_holds_up_no_other(tmp_path: Path, api: ShieldApi) -> None:
    names = [f"n{number}.example" for number in range(5)]
    api.add(*names)
    desk = Desk(tmp_path, api.url)
    now = time.time()
    desk.refresh(now)
    api.faults = {f"{REPORT}processed": [(500, ""), (500, "")]}
    done = desk.report(dict.fromkeys(names, "processed"), now)
    assert (done.told, done.waiting) == (4, 1)
    assert "1 reports are refused" in (done.fault or "")


def test_a_crash_before_the_list_is_kept_loses_no_report(
    tmp_path: Path, api: ShieldApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.add("one.example")
    desk = Desk(tmp_path, api.url)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(KeptFeed, "put", crash)
        with pytest.raises(KeyboardInterrupt):
            desk.refresh()
    assert desk.outbox().waiting == 1
    assert desk.names() == []
    assert desk.refresh().outcome == "new"
    assert (desk.names(), desk.outbox().waiting) == (["one.example"], 1)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"items": {"one.example": {"x": 1}}}'])
def test_an_outbox_that_is_lost_is_made_anew(tmp_path: Path, api: ShieldApi, damage: str) -> None:
    api.add("one.example")
    desk = Desk(tmp_path, api.url)
    desk.refresh()
    desk.report({"one.example": "processed"})
    path = desk.kept.targets.parent / "outbox.json"
    path.write_text(damage)
    assert desk.refresh().outcome == "new", "the same list, read again"
    assert desk.outbox().waiting == 1, "told twice rather than not at all"


def test_the_list_of_feeds_tells_what_is_still_to_be_reported(
    tmp_path: Path, api: ShieldApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.add("one.example", "two.example")
    desk = Desk(tmp_path, api.url)
    settings = tmp_path / "geodns.toml"
    settings.write_text('[server]\nstate = "."\n[orders]\ndirectories = ["orders"]\n')

    def run(*arguments: str, code: int = 0) -> str:
        assert call(["feeds", *arguments, "-c", str(settings)]) == code
        return capsys.readouterr().out

    assert "to report: 2; the running server does it" in run("refresh", "it-shield")
    assert api.reports == [], "only a running server knows what is in force"
    assert json.loads(run("list", "--json"))[0]["to_report"] == 2
    desk.report({"one.example": "processed"})
    assert "to report" in run("list")
    assert json.loads(run("list", "--json"))[0]["to_report"] == 1
    api.always[f"{REPORT}processed"] = (500, "")
    desk.report({"two.example": "processed"})
    assert "answered 500" in json.loads(run("list", "--json", code=1))[0]["report_fault"]
    assert "reports wait" in run("list", code=1)


def test_an_item_is_old_by_its_ticket_else_by_when_it_was_seen() -> None:
    assert not Item(since=0.0, listed=WINDOW).is_old(WINDOW + 1)
    assert Item(since=0.0).is_old(WINDOW + 1)
