"""An order that is fed by the API of Piracy Shield, as tests use it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from geodns.model.name import to_text
from geodns.orders.feeds.fetch import Fetching
from geodns.orders.feeds.kept import FEEDS, KeptFeed
from geodns.orders.feeds.outbox import Outbox, Reported, read_outbox, report
from geodns.orders.feeds.refresh import Refreshed, refresh
from geodns.orders.load import OrderLoader
from geodns.orders.loaded import LoadedOrder
from tests.orders.sample import good, write

QUICK = Fetching(timeout=2.0, size=1 << 20, attempts=2)


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
