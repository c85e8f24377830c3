"""The API of Piracy Shield: what it lists is taken, and no secret is kept or told."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from geodns.orders.feeds.due import fed, main
from geodns.orders.feeds.fetch import Fetching
from geodns.orders.feeds.refresh import refresh
from geodns.orders.load import OrderLoader
from tests.orders.feeds.shield_api import (
    FQDN,
    IPV4,
    LOGIN,
    PASSWORD,
    TICKETS,
    ShieldApi,
)
from tests.orders.feeds.shield_desk import Desk
from tests.orders.sample import good, write

HTML = "<!DOCTYPE html><h1>Maintenance</h1>"


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
