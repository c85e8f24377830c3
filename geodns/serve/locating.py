"""The place tables of the running server: built again when databases or geofeeds have changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from geodns.errors import DatabaseError, Fault
from geodns.locate.table import PlaceTable
from geodns.orders.loaded import LoadedOrder
from geodns.serve.faults import Faults
from geodns.serve.placing import misplaced
from geodns.serve.tables import Bar, Signature, build_tables, no_bar, signature
from geodns.settings import Geoip

SETTLE = 0.1
"""Seconds that databases and geofeeds must stay unchanged before they are read."""


class Locating:
    """Holds the place tables in use. failures: how often others could not take their place."""

    def __init__(
        self,
        settings: Callable[[], Geoip],
        directory: Path,
        faults: Faults,
        wake: Callable[[], None],
    ) -> None:
        """settings: what is set when asked. directory: where tables are kept. faults: takes what
        is wrong, about ``places``. wake: called when there is something to ``take``."""
        self.table: PlaceTable
        self.failures = 0
        self._settings = settings
        self._directory = directory
        self._faults = faults
        self._wake = wake
        self._seen: tuple[Signature, float] = ((), 0.0)
        self._built: Signature = ()
        self._building: asyncio.Task[None] | None = None
        self._new: PlaceTable | None = None
        self._held_back: PlaceTable | None = None

    def files(self) -> list[Path]:
        """The databases and geofeeds that are read."""
        geoip = self._settings()
        return [*geoip.databases, *geoip.geofeeds]

    async def make(self, bar: Bar = no_bar) -> None:
        """Make the first tables. Raises DatabaseError where there can be none."""
        self._built = signature(self.files())
        with bar("place tables") as progress:
            geoip = self._settings()
            self.table = await build_tables(
                geoip.databases, geoip.geofeeds, self._directory, progress
            )

    def forget(self) -> None:
        """Read all files again at the next look, whatever they look like."""
        self._built = ()

    def look(self) -> None:
        """Begin to build other tables if files have changed, and have settled."""
        seen = signature(self.files())
        now = time.monotonic()
        if seen == self._built:
            return
        if seen != self._seen[0]:
            self._seen = (seen, now)
        if now - self._seen[1] < SETTLE:
            # Half a file copied in place is no database.
            asyncio.get_running_loop().call_later(SETTLE, self._wake)
        elif self._building is None:
            self._building = asyncio.create_task(self._build(seen))

    async def _build(self, seen: Signature) -> None:
        geoip = self._settings()
        try:
            table = await build_tables(geoip.databases, geoip.geofeeds, self._directory)
        except (DatabaseError, OSError) as error:
            self.failures += 1
            told = [
                Fault(f"{line} (the place tables in force stay)") for line in str(error).split("\n")
            ]
            self._faults.set("places", told, seen)
        else:
            self._new = table
        finally:
            self._built = seen
            self._building = None
            self._wake()

    def take(self, loaded: Sequence[LoadedOrder], in_force: Sequence[LoadedOrder]) -> None:
        """Use new tables, if there are any, unless orders in force could not be placed any more.

        loaded: the orders as their files say now. in_force: those that are used.
        """
        if self._new is None:
            return
        paths = {order.path for order in loaded}
        lost = misplaced([order for order in in_force if order.path in paths], self._new)
        if lost:
            # They are tried again with each look: the order may go, or be widened.
            self.failures += self._new is not self._held_back
            self._held_back = self._new
            told = "the new place tables are not used, the old ones stay: "
            self._faults.set("places", [Fault(told + fault.message, fault.file) for fault in lost])
        else:
            self.table, self._new = self._new, None
            self._faults.set("places")

    async def close(self) -> None:
        """Break off what is being built."""
        if self._building is not None:
            self._building.cancel()
            await asyncio.gather(self._building, return_exceptions=True)
