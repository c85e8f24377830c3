"""How the running server reads its order files: by which settings and which popular names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from geodns.errors import Fault, InputFaults
from geodns.orders.approval import Approvers
from geodns.orders.feeds.kept import FEEDS
from geodns.orders.guard.judge import known_with
from geodns.orders.load import OrderLoader
from geodns.orders.loaded import LoadedOrder
from geodns.serve.faults import Faults
from geodns.serve.tables import Signature, signature
from geodns.settings import Orders


class Reading:
    """Holds the loader. failures: how often a list of popular names could not be used."""

    def __init__(
        self, orders: Orders, state: Path, faults: Faults, good: Callable[[LoadedOrder], bool]
    ) -> None:
        """state: where good editions and lists are kept. faults: takes what is wrong, about
        ``popular``. good: whether an edition may become the last good one."""
        self.failures = 0
        self._orders = orders
        self._state = state
        self._faults = faults
        self._good = good
        self._seen: Signature = self._signature()
        self._known = known_with(orders.popular)
        self.loader = self._make()

    def use(self, orders: Orders) -> None:
        """Read by these settings from now on."""
        before, self._orders = self._orders, orders
        if _decisive(before) != _decisive(orders):
            self.loader = self._make()

    async def look(self) -> None:
        """Read the list of popular names again if it has changed."""
        seen = self._signature()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._known = await asyncio.to_thread(known_with, self._orders.popular)
        except InputFaults as error:
            self.failures += 1
            told = [
                Fault(f"{each.message} (the former list stays)", each.file) for each in error.faults
            ]
            self._faults.set("popular", told, seen)
            return
        self._faults.set("popular")
        self.loader = self._make()

    def _make(self) -> OrderLoader:
        orders = self._orders
        return OrderLoader(
            orders.directories,
            self._state / "last-good",
            good=self._good,
            away=self._state,
            feeds=self._state / FEEDS,
            known=self._known,
            approvers=Approvers(orders.approvals, orders.keys),
        )

    def _signature(self) -> Signature:
        path = self._orders.popular
        return () if path is None else signature([path])


def _decisive(orders: Orders) -> tuple[object, ...]:
    """What of the settings decides how orders are read; popular names are looked at apart."""
    return orders.directories, orders.approvals, orders.approvers
