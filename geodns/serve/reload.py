"""The way of an order through the running server: file -> snapshot -> in force on every worker.

Whatever changes (order files, geofeeds, databases, the settings file, the clock), it is one
cycle that looks at all of it, takes over what is good, keeps the former state of what is
faulty, and hands the workers a load if there is anything new in it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from geodns import logs
from geodns.config import load_settings
from geodns.errors import Fault, GeodnsError, InputFaults, OrderError, ServerError
from geodns.locate.table import PlaceTable
from geodns.model import name
from geodns.orders.feeds.kept import FEEDS
from geodns.orders.load import Loaded, LoadedOrder
from geodns.orders.loaded import Held
from geodns.policy.snapshot import Snapshot
from geodns.serve.adopt import adopt, other_defaults
from geodns.serve.compiler import Compiler
from geodns.serve.faults import Faults
from geodns.serve.feeding import Feeding
from geodns.serve.locating import Locating
from geodns.serve.notices import Notices
from geodns.serve.placing import Accepted, accept, misplaced
from geodns.serve.reading import Reading
from geodns.serve.record import Changes, Edition, Record, compare, counted, editions, listed
from geodns.serve.supervisor import Load
from geodns.serve.tables import Bar, Signature, no_bar, signature
from geodns.serve.watch import Watch
from geodns.serve.witness import Witness
from geodns.settings import Settings

RESCAN = 2.0
"""Seconds between two looks at everything, where nothing tells that it changed."""
PAUSE = 0.05
"""Seconds at least between two cycles, so that endless writing leaves time for the rest."""
RETRY = 5.0
"""Seconds after which workers that refused a load are given it again."""
CLOCK = 1.0
"""Seconds after which the wall clock is read again: it may have been set."""
WARN_DAYS = 30
"""Days after which a database's age is warned of."""

Distribute = Callable[[Load], Awaitable[bool]]

log = logging.getLogger("geodns.reload")


class Reloader:
    """Holds what is in force, and brings it up to date."""

    def __init__(
        self,
        settings: Settings,
        *,
        skip_bad_orders: bool = False,
        clock: Callable[[], float] = time.time,
        state: Path | None = None,
        witness: Witness | None = None,
        proxy: str | None = None,
    ) -> None:
        """clock: the wall clock, in epoch seconds. state: where to keep what is made, if not
        in the state folder of the settings. witness: records what happens to orders. proxy: an
        address of this machine that workers take PROXY headers from, besides the operator's."""
        self.settings = settings
        self._proxy = proxy
        self._witness = witness
        self._settings_json = self._as_json(settings)
        self.snapshot: Snapshot
        self._compiled: Snapshot
        self.load: Load
        self.orders: tuple[LoadedOrder, ...] = ()
        self.records: list[Record] = []
        self.reloads = 0
        self._failures = 0
        self.restart_needed: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self._in_force: dict[str, Edition] = {}
        self._clock = clock
        self._state = state or settings.server.state
        self._faults = Faults()
        # What cannot be placed must not take the place of an edition that can.
        self._reading = Reading(
            settings.orders,
            self._state,
            self._faults,
            good=lambda order: not misplaced([order], self.table),
        )
        self._wake = asyncio.Event()
        self._compiler = Compiler(self._state / "snapshots", self._wake.set)
        self._skip_bad_orders = skip_bad_orders
        self._trigger = "files"
        self._compiled_at = 0.0
        self._compiled_never: tuple[bytes, ...] = ()
        self._settings_seen: Signature = self._settings_signature()
        self._locating = Locating(
            lambda: self.settings.geoip, self._state / "places", self._faults, self._wake.set
        )
        self._refused_load: Load | None = None
        self._refused_at = 0.0
        self._unfinished = False
        self._roll_needed = False
        self._watch = Watch(self._wake.set)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All that is wrong with what the operator gave, now."""
        return self._faults.all()

    @property
    def refusals(self) -> tuple[Fault, ...]:
        """The same, but for orders that only wait for people to approve them."""
        return self._faults.all(less="approvals")

    @property
    def table(self) -> PlaceTable:
        """The place tables in use."""
        return self._locating.table

    @property
    def failures(self) -> int:
        """How often something that was read anew could not be used."""
        return self._failures + self._locating.failures + self._reading.failures

    async def locate(self, bar: Bar = no_bar) -> None:
        """Make the first place tables. Raises DatabaseError where there can be none."""
        await self._locating.make(bar)
        for source in self.table.sources:
            days = int((self._clock() - source.built) // 86400)
            if source.kind != "geofeed" and days > WARN_DAYS:
                log.warning("%s is %d days old; see: geodns geoip update", source.path, days)

    async def prepare(self, bar: Bar = no_bar) -> Load:
        """Make the first load, after ``locate``.

        Raises OrderError with all faults where an order file has no usable edition, unless
        such files are to be skipped.
        """
        began = time.monotonic()
        # The bar is gone before anything is logged.
        with bar("orders") as progress:
            loaded = await asyncio.to_thread(self._reading.loader.load, progress)
            accepted = self._accept(loaded)
            if accepted.refused and not self._skip_bad_orders:
                how = "to start without the faulty files: geodns serve --skip-bad-orders"
                raise OrderError((*accepted.faults, Fault(how)))
            self.orders = accepted.orders
            if self._witness is not None:
                await self._witness.received(self.orders)
            self.load = await self._compile()
        self._tell(accepted)
        self._faults.settle()
        for path in accepted.refused:
            log.warning("%s is left out (--skip-bad-orders)", path)
        self.snapshot = self._compiled
        self._look_at_defaults()
        self._note(began, "start", loaded.parsed, changed=True, everywhere=True)
        return self.load

    def wake(self, trigger: str) -> None:
        """Look at everything now; ``trigger`` goes into the record."""
        self._trigger = trigger
        if trigger == "SIGHUP":
            self._locating.forget()
            self._refused_load = None
        self._wake.set()

    async def run(self, distribute: Distribute, roll: Callable[[], Awaitable[None]]) -> None:
        """Keep what is in force up to date, for ever."""
        scanned = -RESCAN
        took = 0.0
        try:
            while True:
                # A look at very many files must not become all that is done.
                pause = max(RESCAN, 20 * took) - (time.monotonic() - scanned)
                await self._wait(max(pause, 0.0))
                trigger, self._trigger = self._trigger, "files"
                woken = self._wake.is_set()
                self._wake.clear()
                scan = woken or time.monotonic() - scanned >= max(RESCAN, 20 * took)
                began = time.monotonic()
                try:
                    await self._cycle(trigger, scan, distribute)
                    if self._roll_needed:
                        self._roll_needed = False
                        await roll()
                except (GeodnsError, OSError) as error:
                    self._failures += 1
                    self._faults.set("reload", [Fault(f"the reload failed: {error}")])
                except Exception as error:
                    # Whatever some file brings about, serving goes on with what is in force.
                    self._failures += 1
                    told = f"the reload failed: internal error: {type(error).__name__}: {error}"
                    self._faults.set("reload", [Fault(told)])
                self._faults.settle()
                if scan:
                    scanned = time.monotonic()
                    took = scanned - began
                    files = self._locating.files()
                    if self.settings.path is not None:
                        files.append(self.settings.path)
                    trees = (*self.settings.orders.directories, self._state / FEEDS)
                    self._watch.look_at(trees, files)
                await asyncio.sleep(PAUSE)
        finally:
            await self._locating.close()
            await self._compiler.close()
            await self._watch.close()

    async def _wait(self, rescan: float) -> None:
        left = min(CLOCK, rescan)
        if self._compiled.next_change is not None:
            left = min(left, max(0.0, self._compiled.next_change - self._clock()))
        with suppress(TimeoutError):
            # Not wait_for: up to Python 3.11 it can swallow a cancellation.
            async with asyncio.timeout(left):
                await self._wake.wait()

    async def _cycle(self, trigger: str, scan: bool, distribute: Distribute) -> None:
        began = time.monotonic()
        parsed = 0
        forced = trigger == "SIGHUP"
        other_orders = False
        if scan or forced:
            await self._look_at_settings()
            await self._reading.look()
            self._look_at_defaults()
            self._locating.look()
            loaded = await asyncio.to_thread(self._reading.loader.load)
            parsed = loaded.parsed
            self._locating.take(loaded.orders, self.orders)
            accepted = self._accept(loaded)
            orders = accepted.orders
            self._tell(accepted)
            other_orders = _editions(orders) != _editions(self.orders)
            if await self._waits(orders):
                orders, other_orders = self.orders, False
            self.orders = orders
        now = self._clock()
        due = self._compiled.next_change is not None and now >= self._compiled.next_change
        # A clock that was set back may have taken an order's beginning with it.
        due = due or now < self._compiled_at
        load = self._with_snapshot(self.load.snapshot, self.load.digest)
        never_changed = self._never_block() != self._compiled_never
        changed_inputs = other_orders or due or never_changed or self._compiler.ready
        if changed_inputs or forced or self._unfinished:
            # Until it is on the workers: a reload that failed is tried again.
            self._unfinished = True
            load = await self._compile()
        if load == self._refused_load and time.monotonic() - self._refused_at < RETRY:
            return
        former = self.load
        changed = load != former
        everywhere = True
        if changed:
            try:
                everywhere = await distribute(load)
            except ServerError as error:
                self._refused_load, self._refused_at = load, time.monotonic()
                self._failures += 1
                self._faults.set("reload", [Fault(str(error))])
                return
            # From here to the note nothing waits, so that status tells one story.
            self.load = load
            self._refused_load = None
            if load.digest == self._compiled.digest:
                self.snapshot = self._compiled
        self._unfinished = False
        self._faults.set("reload")
        if trigger == "files" and (due or not scan):
            trigger = "clock"
        if changed or forced or parsed:
            self._faults.settle()
            self._note(began, trigger, parsed, changed=changed, everywhere=everywhere)
        if changed:
            await asyncio.to_thread(self._compiler.clean, (former.snapshot, load.snapshot))

    async def _waits(self, orders: Sequence[LoadedOrder]) -> bool:
        """Whether new editions have to wait until they can be recorded."""
        if self._witness is None:
            return False
        why = await self._witness.receive(orders, self.settings.ledger.wait)
        self._faults.set("ledger", [] if why is None else [Fault(why)])
        return why is not None

    def _note(
        self, began: float, trigger: str, parsed: int, *, changed: bool, everywhere: bool
    ) -> None:
        now, took = self._clock(), time.monotonic() - began
        before, self._in_force = self._in_force, editions(self.snapshot.in_force, self.orders)
        changes = compare(before, self._in_force, self.orders, now)
        self.reloads += 1
        record = Record(now, took, trigger, parsed, changed, everywhere, changes)
        self.records = [*self.records[-19:], record]
        log.info(
            "%s: %s in force, %d parsed, digest %s, %s after %.2f s",
            "start" if trigger == "start" else f"reload ({trigger})",
            counted(len(self._in_force), "order"),
            parsed,
            self.load.digest[:12],
            "compiled"
            if trigger == "start"
            else "on every worker"
            if everywhere
            else "NOT yet on every worker",
            took,
            extra={
                "trigger": trigger,
                "orders": len(self._in_force),
                "parsed": parsed,
                "digest": self.load.digest,
                "took": round(took, 3),
            },
        )
        if changes != Changes():
            log.info("%s", changes)
        if self._witness is not None:
            self._witness.look()
        if stand_ins := [order.order.id for order in self.orders if order.last_good]:
            log.warning("used by their LAST GOOD EDITION: %s", listed(stand_ins))
        for order in self.orders if changed else ():
            if order.held and order.order.id in self._in_force:
                log.warning(
                    "%s: %s held out of force until acknowledged; see: geodns orders check",
                    order.order.id,
                    counted(len(order.held), "target"),
                )

    # Orders

    def feeding(self, *, apis: bool) -> Feeding:
        """What keeps the official lists of the orders up to date: with an API, or without."""
        return Feeding(
            self._state / FEEDS,
            lambda: self.orders,
            lambda: self.settings.feeds,
            lambda faults: self._faults.set("apis" if apis else "feeds", faults),
            apis=apis,
        )

    def notices(self) -> Notices:
        """What tells somebody of what is due and what is held."""
        return Notices(self._state, lambda: self.orders, lambda: self.settings.orders.webhook)

    def _accept(self, loaded: Loaded) -> Accepted:
        return accept(loaded, self.orders, self._reading.loader.last_good, self.table)

    def _tell(self, accepted: Accepted) -> None:
        waiting = frozenset(accepted.unapproved)
        self._faults.set("orders", [each for each in accepted.faults if each not in waiting])
        self._faults.set("approvals", accepted.unapproved)

    def _never_block(self) -> tuple[bytes, ...]:
        return tuple(name.parse(text) for text in self.settings.orders.never_block)

    async def _compile(self) -> Load:
        now = self._clock()
        never = self._compiled_never = self._never_block()
        path, self._compiled = await self._compiler.compile(self.orders, now, never)
        self._compiled_at = now
        return self._with_snapshot(str(path), self._compiled.digest)

    def _with_snapshot(self, path: str, digest: str) -> Load:
        stale = self.table.stale(self.settings.geoip.max_age_days, self._clock())
        return Load(path, digest, str(self.table.path), tuple(stale), self._settings_json)

    # Settings

    def _as_json(self, settings: Settings) -> dict[str, Any]:
        """The settings as workers get them."""
        found = settings.model_dump(mode="json")
        if self._proxy is not None:
            found["trust"]["proxy"] = [*found["trust"]["proxy"], self._proxy]
        return found

    def _settings_signature(self) -> Signature:
        return () if self.settings.path is None else signature([self.settings.path])

    async def _look_at_settings(self) -> None:
        seen = self._settings_signature()
        if seen == self._settings_seen or self.settings.path is None:
            return
        self._settings_seen = seen
        try:
            new = await asyncio.to_thread(load_settings, self.settings.path)
            if self.settings.upstream.servers and not new.upstream.servers:
                told = "no servers any more; geodns needs one to forward to"
                raise InputFaults([Fault(told, str(new.path), None, "upstream.servers")])
        except InputFaults as error:
            self._failures += 1
            self._faults.set("settings", error.faults, seen)
            return
        self._faults.set("settings")
        old = self.settings
        adopted = adopt(old, new)
        new = self.settings = adopted.settings
        self.restart_needed = adopted.restart_needed
        if self.restart_needed:
            log.warning("%s changed; a restart is needed for that", ", ".join(self.restart_needed))
        self._settings_json = self._as_json(self.settings)
        logs.change(new.log.format, new.log.level)
        self._reading.use(new.orders)
        before, now = ((each.upstream, each.cache, each.limits.misses) for each in (old, new))
        self._roll_needed = before != now
        log.info("the settings were read again")

    def _look_at_defaults(self) -> None:
        """Say once that a restart would read other folders than the running server does."""
        found = other_defaults(self.settings)
        for told in found:
            if told not in self.warnings:
                log.warning("%s", told)
        self.warnings = found


def _editions(orders: Sequence[LoadedOrder]) -> list[tuple[str, str, tuple[Held, ...], bool]]:
    return [(order.path, order.edition, order.held, order.waiting) for order in orders]
