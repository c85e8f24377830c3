"""Feeds: fetched, verified, taken, kept; and whatever goes wrong, the former list stays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from geodns.model.name import to_text
from geodns.orders.feeds.due import fed
from geodns.orders.feeds.fetch import Fetching
from geodns.orders.feeds.kept import FEEDS, KeptFeed
from geodns.orders.feeds.refresh import Refreshed, due_at, interval, refresh
from geodns.orders.load import OrderLoader
from geodns.orders.loaded import LoadedOrder
from tests.orders.feeds.publisher import Publisher, publishing
from tests.orders.sample import good, write

QUICK = Fetching(timeout=2.0, size=1 << 20, attempts=2)
DAY = 86400.0


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as found:
        yield found


class Desk:
    """An order with one feed, its folder, and what the loader makes of it."""

    def __init__(self, root: Path, url: str, extra: str = "", targets: str = "") -> None:
        self.orders, self.feeds = root / "orders", root / FEEDS
        text = good("it-x").replace('domains = ["example.org"]', targets)
        feed = f'\n[[feeds]]\nurl = "{url}"\n{extra}\n'
        self.path = write(self.orders, "IT", "it-x", text + feed)
        self.loader = OrderLoader([self.orders], None, feeds=self.feeds)

    def order(self) -> LoadedOrder:
        loaded = self.loader.load()
        assert not loaded.faults, loaded.faults
        return loaded.orders[0]

    def refresh(self, now: float = DAY, *, shrunken: bool = False) -> Refreshed:
        order = self.order()
        feed = order.order.feeds[0]
        certificate = order.certificates.get(feed.openpgp or "")
        return refresh(
            "it-x",
            feed,
            self.feeds,
            QUICK,
            certificate=certificate,
            now=now,
            shrunken=shrunken,
        )

    def names(self) -> list[str]:
        return sorted(to_text(name) for name in self.order().domains)

    def file(self, name: str) -> str:
        (folder,) = [path for path in self.feeds.iterdir() if path.is_dir()]
        return (folder / name).read_text()


def many(count: int) -> str:
    return "".join(f"n{number}.example\n" for number in range(count))


def test_a_list_is_fetched_and_its_entries_are_targets(
    tmp_path: Path, publisher: Publisher
) -> None:
    url = publisher.put("/list", "one.example\n*.two.example\nhttp://three.example/page\n")
    desk = Desk(tmp_path, url, targets='domains = ["own.example"]')
    assert desk.names() == ["own.example"], "before it was fetched the rest of the order holds"
    before = desk.order().edition
    done = desk.refresh()
    assert (done.outcome, done.state.taken, done.state.reasons) == ("new", 2, {"path": 1})
    assert desk.names() == ["one.example", "own.example"]
    assert [to_text(name) for name in desk.order().below] == ["two.example"]
    assert desk.order().edition != before, "another list is another edition of the order"
    assert "http://three.example/page" in desk.file("rejected.tsv")


def test_an_order_with_nothing_but_a_feed_waits_for_it(
    tmp_path: Path, publisher: Publisher
) -> None:
    desk = Desk(tmp_path, publisher.put("/list", "one.example\n"))
    assert desk.names() == []
    desk.refresh()
    assert desk.names() == ["one.example"]


def test_what_has_not_changed_is_not_fetched_again(tmp_path: Path, publisher: Publisher) -> None:
    desk = Desk(tmp_path, publisher.put("/list", many(3), ETag='"v1"'))
    assert desk.refresh(DAY).outcome == "new"
    done = desk.refresh(2 * DAY)
    assert done.outcome == "unchanged"
    assert publisher.asked[-1][1]["If-None-Match"] == '"v1"'
    assert (done.state.fetched, done.state.checked) == (DAY, 2 * DAY)
    publisher.put("/list", many(3), ETag='"v2"')
    assert desk.refresh(3 * DAY).outcome == "unchanged", "the same octets"


def test_entries_keep_the_days_they_were_listed(tmp_path: Path, publisher: Publisher) -> None:
    desk = Desk(tmp_path, publisher.put("/list", "one.example\ntwo.example\n"))
    desk.refresh(DAY)
    publisher.put("/list", "two.example\nthree.example\n")
    done = desk.refresh(2 * DAY)
    assert (done.state.added, done.state.gone) == (1, 1)
    assert desk.names() == ["three.example", "two.example"]
    assert desk.file("seen.tsv").splitlines() == [
        "entry\tfirst\tlast",
        "one.example\t1970-01-02\t1970-01-02",
        "three.example\t1970-01-03\t1970-01-03",
        "two.example\t1970-01-02\t1970-01-03",
    ]


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b"", "it is empty"),
        (200, b"<!DOCTYPE html><h1>Maintenance</h1>", "HTML page"),
        (200, many(19).encode(), "shrunk from 40 to 19"),
        (200, b"http://one.example/page\n" * 3, "not one target"),
        (200, b"x" * (2 << 20), "larger than 1,048,576 octets"),
        (200, b"one.example\n\xff\xfe\n", "line 2"),
        (404, b"", "answered 404"),
        (503, b"", "answered 503"),
        (302, b"", "answered 302"),
    ],
)
def test_whatever_a_publisher_does_the_former_list_stays(
    tmp_path: Path, publisher: Publisher, patience: list[float], status: int, body: bytes, told: str
) -> None:
    desk = Desk(tmp_path, publisher.put("/list", many(40)))
    desk.refresh(DAY)
    publisher.put("/list", body, status)
    done = desk.refresh(2 * DAY)
    assert done.outcome == "failed"
    assert told in (done.state.fault or "")
    assert len(desk.names()) == 40
    assert len(patience) == (1 if status == 503 else 0), "what may pass is tried again"
    publisher.put("/list", many(41))
    assert desk.refresh(3 * DAY).state.fault is None
    assert len(desk.names()) == 41


def test_a_publisher_that_cannot_be_reached(tmp_path: Path) -> None:
    with publishing() as gone:
        url = gone.put("/list", many(3))
    done = Desk(tmp_path, url).refresh()
    assert done.outcome == "failed"
    assert "cannot be reached" in (done.state.fault or "")


def test_a_list_that_shrinks_rightly_can_be_taken(tmp_path: Path, publisher: Publisher) -> None:
    desk = Desk(tmp_path, publisher.put("/list", many(40)))
    desk.refresh(DAY)
    publisher.put("/list", many(2))
    assert desk.refresh(2 * DAY, shrunken=True).outcome == "new"
    assert len(desk.names()) == 2


def test_credentials_are_named_and_never_told(
    tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path, publisher.put("/list", many(1)), 'credentials = "LIST_TOKEN"')
    monkeypatch.delenv("LIST_TOKEN", raising=False)
    done = desk.refresh()
    assert "LIST_TOKEN" in (done.state.fault or "")
    assert not publisher.asked
    monkeypatch.setenv("LIST_TOKEN", "s3cret")
    assert desk.refresh().outcome == "new"
    assert publisher.asked[-1][1]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in desk.file("state.json")


def test_minisign(tmp_path: Path, publisher: Publisher) -> None:
    minisign = pytest.importorskip("minisign")
    pair = minisign.KeyPair.generate()
    url = publisher.put("/list", many(3))
    publisher.put("/list.minisig", bytes(pair.secret_key.sign(many(3).encode())))
    key = pair.public_key.to_base64()
    key = key.decode() if isinstance(key, bytes) else key
    desk = Desk(tmp_path, url, f'signature = "{url}.minisig"\nminisign = "{key}"')
    assert desk.refresh(DAY).state.fault is None
    publisher.put("/list", many(4))
    assert "signature is wrong" in (desk.refresh(2 * DAY).state.fault or "")
    publisher.put("/list.minisig", "nonsense")
    assert "signature cannot be read" in (desk.refresh(3 * DAY).state.fault or "")
    del publisher.pages["/list.minisig"]
    assert "404" in (desk.refresh(4 * DAY).state.fault or "")
    assert len(desk.names()) == 3


def test_openpgp(tmp_path: Path, publisher: Publisher) -> None:
    pysequoia = pytest.importorskip("pysequoia")
    key = pysequoia.Tsk.generate("Authority <a@authority.example>")
    other = pysequoia.Tsk.generate("Somebody <s@else.example>")

    def signed(data: str, by: object) -> bytes:
        mode = pysequoia.SignatureMode.DETACHED
        return bytes(pysequoia.sign(by.signer(), data.encode(), mode=mode))  # type: ignore[attr-defined]

    url = publisher.put("/list", many(3))
    publisher.put("/list.sig", signed(many(3), key))
    desk = Desk(tmp_path, url, f'signature = "{url}.sig"\nopenpgp = "authority.asc"')
    assert "'authority.asc' cannot be read" in desk.loader.load().faults[0].message
    (desk.path.parent / "authority.asc").write_text(str(key.extract_certificate()))
    assert desk.refresh(2 * DAY).state.fault is None
    publisher.put("/list", many(4))
    publisher.put("/list.sig", signed(many(4), other))
    assert "signature is wrong" in (desk.refresh(3 * DAY).state.fault or "")
    assert len(desk.names()) == 3


def test_when_a_feed_is_due(tmp_path: Path, publisher: Publisher) -> None:
    desk = Desk(tmp_path, publisher.put("/list", many(3)), 'refresh = "12h"')
    (each,) = fed([desk.order()], desk.feeds)
    assert interval(each.feed) == DAY / 2
    assert each.due == 0.0, "never fetched: now"
    assert due_at(each.feed, desk.refresh(DAY).state) == DAY * 1.5
    publisher.put("/list", b"", 404)
    first, second = (due_at(each.feed, desk.refresh(2 * DAY).state) - 2 * DAY for _ in range(2))
    assert (first, second) == (60.0, 120.0), "sooner after a failure, and less and less often"
    assert not list(fed([], desk.feeds))


def test_a_damaged_state_is_a_fresh_one(tmp_path: Path, publisher: Publisher) -> None:
    desk = Desk(tmp_path, publisher.put("/list", many(3), ETag='"v1"'))
    desk.refresh()
    kept = KeptFeed(desk.feeds, "it-x", publisher.url + "/list")
    folder = kept.targets.parent
    (folder / "state.json").write_text("{")
    assert kept.state().fetched is None
    assert desk.refresh().outcome == "new"
    kept.targets.unlink()
    assert desk.refresh().outcome == "new", "without its targets it is fetched whatever its ETag"
    kept.targets.write_text("a b c\n")
    faults = desk.loader.load().faults
    assert "damaged" in faults[0].message


def test_as_a_program_it_fetches_what_is_due(tmp_path: Path, publisher: Publisher) -> None:
    desk = Desk(tmp_path, publisher.put("/list", many(3)))
    command = [
        *(sys.executable, "-m", "geodns.orders.feeds.due", "--directory", str(desk.feeds)),
        *("--timeout", "5", "--attempts", "1", "--size", "100000"),
    ]
    (each,) = fed([desk.order()], desk.feeds)
    asked = json.dumps({"feeds": [each.job()], "reports": {}})
    run = partial(subprocess.run, command, input=asked, capture_output=True, text=True, timeout=60)
    done = run(check=True)
    assert json.loads(done.stdout)["taken"] == 3
    assert len(desk.names()) == 3
    again = run(check=True)
    assert again.stdout == "", "nothing is due"


def test_a_list_beside_the_order_is_read_with_it(tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    feed = '\n[[feeds]]\npath = "list.hosts"\nmatch = "domain"\n'
    text = good("it-x").replace('domains = ["example.org"]', "") + feed
    path = write(orders, "IT", "it-x", text)
    loader = OrderLoader([orders], None)
    assert "does not exist" in loader.load().faults[0].message
    (path.parent / "list.hosts").write_text("127.0.0.1 one.example\n")
    loaded = loader.load()
    assert not loaded.faults
    assert [to_text(name) for name in loaded.orders[0].domains] == ["one.example"]
    (path.parent / "list.hosts").write_text("<html>")
    loaded = loader.load()
    assert "list.hosts: it is an HTML page" in loaded.faults[0].message
    assert loaded.orders[0].last_good


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "needs either url or path"),
        ('url = "https://a.example/l"\npath = "l"', "needs either url or path"),
        ('url = "ftp://a.example/l"', "is no web address"),
        ('url = "https://a.example/l"\nformat = "nosuch"', "is no list format"),
        ('url = "https://a.example/l"\nsignature = "https://a.example/s"', "one of minisign"),
        ('url = "https://a.example/l"\nrefresh = "weekly"', "refresh"),
        ('path = "../l"', "not a file in the order's folder"),
        ('path = "l"\ncredentials = "X"', "go with url"),
    ],
)
def test_a_feed_that_is_wrong_is_a_fault_of_its_order(tmp_path: Path, keys: str, told: str) -> None:
    write(tmp_path, "IT", "it-x", good("it-x") + f"\n[[feeds]]\n{keys}\n")
    faults = OrderLoader([tmp_path], None).load().faults
    assert faults
    assert any(told in str(fault) for fault in faults), faults
    assert any(fault.line for fault in faults)
