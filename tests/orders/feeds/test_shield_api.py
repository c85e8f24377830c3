"""The API of Piracy Shield: what it lists is taken, what becomes of it is told, nothing is lost."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from geodns.cli.main import call
from geodns.model.name import to_text
from geodns.orders.feeds import fetch as fetching_module
from geodns.orders.feeds.due import fed, main
from geodns.orders.feeds.fetch import Fetching
from geodns.orders.feeds.kept import FEEDS, KeptFeed
from geodns.orders.feeds.outbox import WINDOW, Item, Outbox, Reported, read_outbox, report
from geodns.orders.feeds.refresh import Refreshed, refresh
from geodns.orders.load import OrderLoader
from geodns.orders.loaded import LoadedOrder
from tests.orders.feeds.shield_api import (
    CREDENTIALS,
    FQDN,
    IPV4,
    LOGIN,
    PASSWORD,
    REPORT,
    TICKETS,
    ShieldApi,
    shielding,
)
from tests.orders.sample import good, write

QUICK = Fetching(timeout=2.0, size=1 << 20, attempts=2)
HTML = "<!DOCTYPE html><h1>Maintenance</h1>"


@pytest.fixture
def api() -> Iterator[ShieldApi]:
    with shielding() as found:
        yield found


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between two tries, which nobody waits for here."""
    pauses: list[float] = []
    monkeypatch.setattr(fetching_module.time, "sleep", pauses.append)
    monkeypatch.setenv("SHIELD_LOGIN", CREDENTIALS)
    return pauses


class Desk:
    """An order that takes its targets from the API, and its folder."""

    def __init__(self, root: Path, url: str, extra: str = "") -> None:
        self.orders, self.feeds = root / "orders", root / FEEDS
        text = good("it-shield").replace('domains = ["example.org"]', "")
        feed = f'\n[[feeds]]\napi = "piracy-shield"\nurl = "{url}"\nrefresh = "1m"\n'
        feed += f'credentials = "SHIELD_LOGIN"\n{extra}\n'
        self.path = write(self.orders, "IT", "it-shield", text + feed)
        self.loader = OrderLoader([self.orders], None, feeds=self.feeds)
        self.kept = KeptFeed(self.feeds, "it-shield", url)
        self.slowest: float | None = None

    def order(self) -> LoadedOrder:
        loaded = self.loader.load()
        assert not loaded.faults, loaded.faults
        return loaded.orders[0]

    def refresh(self, now: float | None = None, *, shrunken: bool = False) -> Refreshed:
        order = self.order()
        feed = order.order.feeds[0]
        return refresh("it-shield", feed, self.feeds, QUICK, now=now, shrunken=shrunken)

    def report(self, wanted: dict[str, str], now: float | None = None) -> Reported:
        feed = self.order().order.feeds[0]
        moment = time.time() if now is None else now
        done = report(self.kept, feed, wanted, QUICK, moment)
        self.slowest = done.slowest
        return replace(done, slowest=None)

    def names(self) -> list[str]:
        return sorted(to_text(name) for name in self.order().exact)

    def outbox(self) -> Outbox:
        found = read_outbox(self.kept)
        assert found is not None
        return found

    def all_that_is_kept(self) -> str:
        files = [path for path in self.feeds.rglob("*") if path.is_file()]
        return "".join(path.read_text() for path in files)


def test_what_the_lists_hold_is_taken_and_dated_by_its_ticket(
    tmp_path: Path, api: ShieldApi
) -> None:
    api.add("Live.one.example", opened=86400.0)
    api.add("192.0.2.9", kind="ipv4")
    api.add("2001:db8::9", kind="ipv6")
    api.lists["fqdn"].append("stray.example")
    desk = Desk(tmp_path, api.url)
    done = desk.refresh()
    assert (done.outcome, done.state.taken, done.state.reasons) == ("new", 4, {})
    assert desk.names() == ["live.one.example", "stray.example"]
    assert sorted(map(str, desk.order().networks)) == ["192.0.2.9/32", "2001:db8::9/128"]
    assert not desk.order().domains, "a name stands for itself alone"
    seen = (desk.kept.targets.parent / "seen.tsv").read_text()
    assert "=live.one.example\t1970-01-02\t" in seen
    assert desk.refresh().outcome == "unchanged"


def test_what_a_ticket_names_and_no_list_holds_is_not_in_force(
    tmp_path: Path, api: ShieldApi
) -> None:
    api.add("one.example", "two.example")
    desk = Desk(tmp_path, api.url)
    desk.refresh()
    assert desk.names() == ["one.example", "two.example"]
    api.lift("two.example")
    done = desk.refresh()
    assert (done.outcome, done.state.gone) == ("new", 1)
    assert desk.names() == ["one.example"]
    assert set(desk.outbox().items) == {"one.example"}


def test_the_law_of_importers_holds_for_it_too(tmp_path: Path, api: ShieldApi) -> None:
    api.add("one.example", "http://two.example/page", "three.example:8080", "co.uk", "no name")
    api.tickets += ["nonsense", {"ticket_id": "x", "fqdn": "one.example"}]
    desk = Desk(tmp_path, api.url)
    done = desk.refresh()
    reasons = {"path": 1, "port": 1, "public suffix": 1, "not a name": 1, "unreadable": 1}
    assert done.state.reasons == reasons
    assert desk.names() == ["one.example"]
    rejected = {value: item.rejected for value, item in desk.outbox().items.items()}
    assert rejected["http://two.example/page"] == "path"
    assert rejected["one.example"] is None


@pytest.mark.parametrize(
    ("path", "answer", "told"),
    [
        (LOGIN, (401, ""), "does not accept the credentials of SHIELD_LOGIN (401)"),
        (LOGIN, (404, ""), "/v1/authentication/login: its server answered 404 Not Found"),
        (LOGIN, (200, HTML), "HTML page"),
        (LOGIN, (200, '{"data": {"access_token": 7}}'), "no access token"),
        (LOGIN, (200, '{"data": {"access_token": "a\\nb"}}'), "no access token"),
        (LOGIN, (302, "http://127.0.0.1:9/elsewhere"), "answered 302 Found"),
        (TICKETS, (200, '{"status": "success", "data": [{"ticket_id"'), "/v1/ticket/get/all: line"),
        (TICKETS, (200, HTML), "/v1/ticket/get/all: line 1"),
        (TICKETS, (200, '{"status": "error"}'), "no list of tickets"),
        (FQDN, (200, HTML), "/v1/fqdn/get/all/txt: it is an HTML page"),
        (FQDN, (200, '{"status": "error"}'), "it is JSON"),
        (FQDN, (500, ""), "answered 500"),
        (FQDN, (429, ""), "answered 429"),
        (FQDN, (403, ""), "answered 403"),
        (FQDN, (200, ""), "it has shrunk from 70 to 30"),
        (IPV4, (200, ""), "its IPv4 addresses have shrunk from 30 to 0"),
        (FQDN, (200, "x.example\n" * (1 << 17)), "larger than"),
    ],
)
def test_whatever_the_platform_answers_what_was_good_stays(
    tmp_path: Path, api: ShieldApi, path: str, answer: tuple[int, str], told: str
) -> None:
    api.add(*(f"n{number}.example" for number in range(40)))
    api.add(*(f"192.0.2.{number}" for number in range(30)), kind="ipv4")
    desk = Desk(tmp_path, api.url)
    desk.refresh()
    api.always[path] = answer
    done = desk.refresh()
    assert done.outcome == "failed"
    assert told in (done.state.fault or "")
    assert (len(desk.names()), len(desk.order().networks)) == (40, 30)
    assert PASSWORD not in desk.all_that_is_kept()
    api.always.clear()
    api.add("more.example")
    assert desk.refresh().state.fault is None
    assert len(desk.names()) == 41


def test_what_may_pass_is_tried_again_and_a_slow_platform_is_not_waited_for(
    tmp_path: Path, api: ShieldApi, patience: list[float]
) -> None:
    api.add("one.example")
    api.faults = {FQDN: [(503, "")], LOGIN: [(429, "")]}
    desk = Desk(tmp_path, api.url)
    assert desk.refresh().outcome == "new"
    assert len(patience) == 2
    api.slow[TICKETS] = 3.0
    order = desk.order()
    hasty = Fetching(timeout=0.2, size=1 << 20, attempts=1)
    done = refresh("it-shield", order.order.feeds[0], desk.feeds, hasty)
    assert "did not answer within 0.2 s" in (done.state.fault or "")
    assert desk.names() == ["one.example"]


def test_a_token_that_has_ended_is_replaced_once(tmp_path: Path, api: ShieldApi) -> None:
    api.add("one.example")
    api.lives = 3
    desk = Desk(tmp_path, api.url)
    assert desk.refresh().outcome == "new"
    assert api.logins() == 2
    api.always[FQDN] = (401, "")
    assert "answered 401" in (desk.refresh().state.fault or "")
    assert api.logins() <= 5, "a platform that takes no token is not asked for ever"


def test_no_secret_is_kept_or_told(
    tmp_path: Path, api: ShieldApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.add("one.example")
    desk = Desk(tmp_path, api.url)
    desk.refresh()
    desk.report({"one.example": "processed"})
    for value, told in (
        ("", "is not set"),
        ("no-colon", "does not hold email:password"),
        ("isp@provider.example:wr\x07ng-secret", "holds what cannot be sent"),
        ("isp@provider.example:wrong-secret", "does not accept"),
    ):
        monkeypatch.setenv("SHIELD_LOGIN", value)
        fault = desk.refresh().state.fault or ""
        assert told in fault
        assert "SHIELD_LOGIN" in fault
    kept = desk.all_that_is_kept()
    for secret in (PASSWORD, "secret", *api.tokens, "isp@provider.example"):
        assert secret not in kept


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


def test_nothing_new_is_no_empty_list(tmp_path: Path, api: ShieldApi) -> None:
    api.add("one.example")
    desk = Desk(tmp_path, api.url)
    desk.refresh()
    api.faults = {FQDN: [(304, "")]}
    assert "304" in (desk.refresh().state.fault or "")
    assert desk.names() == ["one.example"]


def test_the_last_item_can_be_lifted(tmp_path: Path, api: ShieldApi) -> None:
    api.add("one.example")
    desk = Desk(tmp_path, api.url)
    desk.refresh()
    api.lift("one.example")
    done = desk.refresh()
    assert (done.state.fault, desk.names()) == (None, [])


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


def test_as_a_program_it_fetches_and_tells_what_it_is_given(
    tmp_path: Path,
    api: ShieldApi,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api.add("one.example")
    desk = Desk(tmp_path, api.url)
    (each,) = fed([desk.order()], desk.feeds)
    asked = {"feeds": [each.job()], "reports": {each.key: {"one.example": "processed"}}}
    # What the server has in use counts, not what stands in the file by now.
    write(desk.orders, "IT", "it-shield", "id = ")
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asked)))
    bounds = ["--timeout", "5", "--attempts", "1", "--size", "100000"]
    code = main(["--directory", str(desk.feeds), *bounds])
    outcomes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [each["outcome"] for each in outcomes] == ["new", "reported"]
    assert (outcomes[1]["told"], outcomes[1]["waiting"]) == (1, 0)
    assert api.reports == [("one.example", "processed")]
    api.asked.clear()
    other = Desk(tmp_path / "other", api.url)
    (each,) = fed([other.order()], other.feeds)
    asked = {"feeds": [each.job()], "reports": {}}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asked)))
    assert main(["--directory", str(other.feeds), *bounds, "--no-fetch"]) == 0
    assert (capsys.readouterr().out, api.asked) == ("", []), "where others fetch, it does not"


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


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('api = "piracy-shield"\nurl = "https://a.example/api"', "api needs url and credentials"),
        ('api = "piracy-shield"\npath = "l"', "api needs url and credentials"),
        ('api = "other"\nurl = "https://a.example/api"', "piracy-shield"),
        (
            'api = "piracy-shield"\nurl = "http://a.example/api"\ncredentials = "X"',
            "it is sent a password",
        ),
        (
            'api = "piracy-shield"\nurl = "https://a.example"\ncredentials = "X"\nformat = "hosts"',
            "no room for format",
        ),
        ('url = "https://a.example/l"\nreason = "x"', "reason goes with api"),
    ],
)
def test_an_api_that_is_wrong_is_a_fault_of_its_order(tmp_path: Path, keys: str, told: str) -> None:
    write(tmp_path, "IT", "it-x", good("it-x") + f"\n[[feeds]]\n{keys}\n")
    faults = OrderLoader([tmp_path], None).load().faults
    assert any(told in str(fault) for fault in faults), faults
