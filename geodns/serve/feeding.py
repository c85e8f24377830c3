"""Official lists for the running server: a child process fetches those that are due.

What it keeps is noticed like any other changed file (reload.py): nothing is told from here. An
API that wants to hear what became of its items hears it from such a child as well; here it is
found out, since nobody else knows what is in force on all workers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodns.errors import Fault
from geodns.model.name import ancestors
from geodns.orders.events import lifted_at
from geodns.orders.feeds.due import LOCKS, Fed, Reports, fed
from geodns.orders.feeds.kept import KeptFeed
from geodns.orders.feeds.outbox import Item
from geodns.orders.feeds.shield_api import PROCESSED
from geodns.orders.feeds.take import entry_of
from geodns.orders.force import as_of
from geodns.orders.loaded import LoadedOrder, Network
from geodns.serve.children import child_environment
from geodns.settings import Feeds

if TYPE_CHECKING:
    from geodns.policy.snapshot import Snapshot
    from geodns.serve.reload import Reloader
    from geodns.serve.supervisor import Supervisor

LOOK = 5.0
"""Seconds between two looks at what is due."""
BOUND = 1800.0
"""Seconds that a child may take for all that is due."""

InForce = Callable[[], "Snapshot | None"]
"""What is in force on all workers; None while they differ."""

log = logging.getLogger("geodns.feeds")


def settled(reloader: Reloader, supervisor: Supervisor) -> InForce:
    """What tells a running server's snapshot once all of its workers have it in force."""

    def found() -> Snapshot | None:
        snapshot = reloader.snapshot
        # Between two loads the snapshot may be another one than what was handed out last.
        if snapshot.digest != reloader.load.digest:
            return None
        return snapshot if supervisor.everywhere(snapshot.digest) else None

    return found


def _nothing() -> None:
    return None


class Feeding:
    """Keeps the lists of orders up to date.

    directory: the folder of all feeds. orders, settings: what is in force when asked. tell: takes
    all that is wrong with feeds now. apis: whether it is about feeds with an API, for which minutes
    count, or about all others: a publisher who is slow holds up only his like.
    """

    def __init__(
        self,
        directory: Path,
        orders: Callable[[], Sequence[LoadedOrder]],
        settings: Callable[[], Feeds],
        tell: Callable[[Sequence[Fault]], None],
        *,
        apis: bool = False,
    ) -> None:
        self._directory = directory
        self._orders = orders
        self._settings = settings
        self._tell = tell
        self._apis = apis
        self._seen: Sequence[LoadedOrder] | None = None
        self._next = 0.0
        self._quiet: tuple[object, ...] = ()

    async def run(self, in_force: InForce = _nothing) -> None:
        """Fetch what is due, for ever. Without ``in_force`` nothing is reported to anybody."""
        while True:
            try:
                await self._turn(in_force)
            except Exception as error:
                # Other lists, and the next try, must not go down with it.
                told = f"lists cannot be fetched: {type(error).__name__}: {error}"
                log.error("%s", told)
                self._tell([Fault(told)])
            await asyncio.sleep(LOOK)

    async def _turn(self, in_force: InForce) -> None:
        orders = self._orders()
        reports = await self._wanted(orders, in_force()) if self._apis else {}
        # The states on disk are read again where orders changed, or one of them is due.
        if orders is not self._seen or time.time() >= self._next or reports:
            self._seen = orders
            await self._look(orders, reports)

    def _fed(self, orders: Sequence[LoadedOrder]) -> list[Fed]:
        every = fed(orders, self._directory)
        return [each for each in every if (each.feed.api is not None) == self._apis]

    async def _wanted(self, orders: Sequence[LoadedOrder], snapshot: Snapshot | None) -> Reports:
        """What is to be reported now."""
        some = [each for each in orders if any(feed.api for feed in each.order.feeds)]
        if not some or snapshot is None:
            return {}
        seen = (snapshot.digest, *_written(some, self._directory))
        if seen == self._quiet:
            return {}
        wanted = await asyncio.to_thread(_wanted, some, snapshot, self._directory)
        # Long lists are not gone through again and again while nothing changes.
        self._quiet = () if wanted else seen
        return {key: reports for key, (at, reports) in wanted.items() if at <= time.time()}

    async def _look(self, orders: Sequence[LoadedOrder], reports: Reports) -> None:
        found = await asyncio.to_thread(self._fed, orders)
        fetch = self._settings().fetch
        busy = [
            each for each in found if (fetch and each.due <= time.time()) or each.key in reports
        ]
        if busy:
            await self._fetch(busy, reports, fetch=fetch)
            found = await asyncio.to_thread(self._fed, orders)
        self._tell([_fault(each) for each in found if each.fault is not None])
        later = (each.due for each in found)
        self._next = max(min(later, default=time.time() + 3600), time.time() + LOOK)

    async def _fetch(self, due: Sequence[Fed], reports: Reports, *, fetch: bool) -> None:
        settings = self._settings()
        command = [
            *(sys.executable, "-P", "-m", "geodns.orders.feeds.due"),
            *("--directory", str(self._directory)),
            *("--timeout", str(settings.timeout), "--attempts", str(settings.attempts)),
            *("--size", str(settings.size), "--fetch" if fetch else "--no-fetch"),
            *("--lock", LOCKS[self._apis]),
        ]
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            limit=1 << 20,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            async with asyncio.timeout(BOUND):
                with suppress(ConnectionError):
                    asked = {"feeds": [each.job() for each in due], "reports": reports}
                    child.stdin.write(json.dumps(asked).encode())
                    await child.stdin.drain()
                child.stdin.close()
                while line := await child.stdout.readline():
                    _say(json.loads(line))
                if await child.wait() > 1:
                    log.error("fetching lists ended with exit code %d", child.returncode)
        except (TimeoutError, ValueError) as error:
            log.error("fetching lists was broken off: %s", error or f"after {BOUND:g} s")
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


def _say(done: dict[str, Any]) -> None:
    if done["outcome"] == "unkept":
        log.error("lists that were fetched cannot be kept: %s", done["fault"])
    elif done["outcome"] == "failed":
        log.error("the list of %s (%s): %s", done["order"], done["source"], done["fault"])
    elif done["outcome"] == "new":
        rejected = sum(done["reasons"].values())
        log.info(
            "the list of %s has %d targets: %d new, %d gone, %d rows rejected",
            *(done["order"], done["taken"], done["added"], done["gone"], rejected),
        )
    elif done["outcome"] == "reported":
        _say_reported(done)


def _say_reported(done: dict[str, Any]) -> None:
    where = done["order"], done["source"]
    if done["told"]:
        slowest = done["slowest"]
        after = "" if slowest is None else f", at the latest {slowest:.0f} s after their ticket"
        log.info("%d items of %s were reported to %s%s", done["told"], *where, after)
    if done["given_up"]:
        log.error("%d items of %s: %s refused reports of them", done["given_up"], *where)
    if done["fault"] is not None:
        log.error("reports on %s to %s wait: %s", *where, done["fault"])


def _fault(each: Fed) -> Fault:
    if each.state.fault is None:
        return Fault(f"the list {each.state.source}: {each.fault}", each.order.path)
    used = "the former one stays" if each.state.fetched is not None else "nothing of it is in force"
    return Fault(f"the list {each.state.source}: {each.state.fault}; {used}", each.order.path)


# What becomes of the items of an API


def _written(orders: Sequence[LoadedOrder], directory: Path) -> Iterator[int | None]:
    for loaded in orders:
        for feed in loaded.order.feeds:
            if feed.api is not None:
                yield KeptFeed(directory, loaded.order.id, feed.url or "").outbox_written()


def _wanted(
    orders: Sequence[LoadedOrder], snapshot: Snapshot, directory: Path
) -> dict[str, tuple[float, Mapping[str, str]]]:
    """What is to be reported by feeds' keys, and from when on, in epoch seconds."""
    now = datetime.now(UTC)
    wanted: dict[str, tuple[float, Mapping[str, str]]] = {}
    for each in fed(orders, directory):
        if each.outbox is None:
            continue
        items = each.outbox.items
        found = outcomes(each.order, items, snapshot, now)
        if found := {value: what for value, what in found.items() if items[value].told != what}:
            wanted[each.key] = each.reports_due, found
    return wanted


def outcomes(
    loaded: LoadedOrder, items: Mapping[str, Item], snapshot: Snapshot, now: datetime
) -> dict[str, str]:
    """What became of items: PROCESSED where they are blocked, or why they are not.

    snapshot: in force on all workers. now: aware. Empty where the order is not in force there as
    it is now, or blocks nothing, being in shadow.
    """
    then = as_of(loaded, now)
    if not any(
        record.id == loaded.order.id and record.edition == then.edition and not record.shadow
        for record in snapshot.in_force
    ):
        return {}
    entries = {value: item.rejected or entry_of(value.lower()) for value, item in items.items()}
    targets = {entry[0] for entry in entries.values() if not isinstance(entry, str)}
    blocked: set[bytes | Network] = set()
    for names in (then.domains, then.exact, then.below, then.networks):
        blocked.update(targets.intersection(names))
    held = {each.target: each.finding for each in loaded.held}
    gone = lifted_at(loaded, now)
    spared = {*then.exempt, *map(bytes.fromhex, snapshot.never)}
    found: dict[str, str] = {}
    for value, entry in entries.items():
        if isinstance(entry, str):
            found[value] = f"it is no name or address that can be blocked: {entry}"
        elif isinstance(entry[0], bytes) and not spared.isdisjoint(ancestors(entry[0])):
            found[value] = "it is exempt here"
        elif entry[0] in blocked:
            found[value] = PROCESSED
        elif entry[0] in held:
            found[value] = f"it is held until a person has looked at it: {held[entry[0]]}"
        elif entry[0] in gone:
            found[value] = "it was lifted here"
    return found
