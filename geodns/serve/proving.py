"""Keeps asking about what is in force and not verified yet, until the server's reply shows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from geodns.ledger.writer import Draft
from geodns.orders.force import as_of
from geodns.serve.inforce import InForce
from geodns.serve.selfprobe import Vantage, plan, reachable, secret_address, vantages, verify
from geodns.serve.sockets import Listener

if TYPE_CHECKING:
    from geodns.serve.reload import Reloader
    from geodns.serve.witness import Witness

LOOK = 0.5
"""Seconds between two looks at what is to be asked."""
FIRST, LONGEST = 2.0, 3600.0
"""Seconds until what did not come true is asked again: twice as long with each try."""

log = logging.getLogger("geodns.ledger")


class Proving:
    """Self-probes of one server. source: the address they come from; None where none can be."""

    def __init__(self, listeners: Sequence[Listener], *, wanted: bool) -> None:
        """wanted: whether the operator wants them."""
        self._server = reachable(listeners) if wanted else None
        self.source = secret_address() if self._server is not None else None
        self._digest = ""
        self._in_force: InForce | None = None
        self._places: list[Vantage] = []
        self._later: dict[tuple[str, str], tuple[float, float]] = {}
        self.unverified: dict[str, str] = {}
        if wanted and self._server is None:
            log.warning("no IPv4 address is listened on: orders are not verified by asking")

    async def run(self, witness: Witness, reloader: Reloader) -> None:
        """Ask, until cancelled."""
        while self._server is not None and self.source is not None:
            try:
                await self._look(witness, reloader)
            except Exception as error:
                # Nothing of it may end the server; the next look is later, and may go well.
                log.error("self-probe: %s: %s", type(error).__name__, error)
                await asyncio.sleep(60)
            await asyncio.sleep(LOOK)

    async def _look(self, witness: Witness, reloader: Reloader) -> None:
        assert self._server is not None
        assert self.source is not None
        standing, snapshot = witness.book.standing, reloader.snapshot
        if reloader.load.digest != snapshot.digest:
            return
        present = {each.id: each.edition for each in snapshot.in_force if not each.shadow}
        # By their form: an order of which some targets are held is not all that its file says.
        waiting = [
            (ident, form)
            for ident, (_, form) in standing.enforced.items()
            if present.get(ident) == form and (ident, form) not in standing.verified
        ]
        self._later = {key: self._later[key] for key in waiting if key in self._later}
        self.unverified = {key: why for key, why in self.unverified.items() if key in present}
        due = [key for key in waiting if self._later.get(key, (0.0, 0.0))[0] <= monotonic()]
        if not due:
            self._in_force, self._places = None, []
            return
        if self._in_force is None or self._in_force.snapshot is not snapshot:
            self._in_force = await asyncio.to_thread(
                InForce, snapshot, reloader.table, reloader.load.stale
            )
            self._places = await asyncio.to_thread(vantages, self._in_force)
        in_force, places = self._in_force, self._places
        loaded = {each.order.id: each for each in reloader.orders}
        for ident, form in due:
            if reloader.snapshot is not snapshot:
                return
            if ident not in loaded:
                continue
            one = as_of(loaded[ident], datetime.fromtimestamp(witness.now(), UTC))
            if one.edition != form:
                continue
            wanted = await asyncio.to_thread(plan, in_force, one, places)
            if wanted is None:
                self._put_off((ident, form), "no name of it can show it", LONGEST)
                continue
            facts = await verify(self._server, self.source, wanted, ident)
            if why := facts.get("why"):
                self._put_off((ident, form), why, None)
                continue
            if reloader.snapshot is snapshot:
                self.unverified.pop(ident, None)
                facts |= {"edition": loaded[ident].edition, "form": form}
                draft = Draft("verified", facts, ident, snapshot.digest, witness.now())
                await witness.book.keep([draft])

    def _put_off(self, key: tuple[str, str], why: str, pause: float | None) -> None:
        before = self._later.get(key, (0.0, FIRST / 2))[1]
        pause = min(2 * before, LONGEST) if pause is None else pause
        self._later[key] = monotonic() + pause, pause
        if self.unverified.get(key[0]) != why:
            log.warning("%s is not verified by asking: %s", key[0], why)
        self.unverified[key[0]] = why
