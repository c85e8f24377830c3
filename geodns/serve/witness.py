"""What of the running server goes into its ledger, and when."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodns.errors import Fault
from geodns.ledger.entry import canonical, milliseconds
from geodns.ledger.file import LEDGER
from geodns.ledger.seal import KEY
from geodns.ledger.writer import Draft
from geodns.model.name import to_text
from geodns.orders.feeds.kept import FEEDS, KeptFeed
from geodns.orders.force import as_of
from geodns.orders.loaded import LoadedOrder, Network
from geodns.serve.book import Book
from geodns.serve.record import why_ended
from geodns.settings import Settings

if TYPE_CHECKING:
    from geodns.serve.reload import Reloader
    from geodns.serve.supervisor import Supervisor

LOOK = 0.5
"""Seconds between two looks at what is in force."""
RETRY = 2.0
"""Seconds between two tries to write what waits."""
HOUR = 3600
MOST_HELD = 1000
"""Targets that are held and told one by one; of more, the number is."""
_ENDED = ("suspended", "expired", "removed", "superseded")

log = logging.getLogger("geodns.ledger")


class Witness:
    """Records what happens to orders. Serving never waits for it, changes of orders do."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """clock: the wall clock, in epoch seconds."""
        ledger, state = settings.ledger, settings.server.state
        self.book = Book(ledger.path or state / LEDGER, state / KEY)
        self.node = ledger.node or socket.gethostname()
        self._feeds = state / FEEDS
        self._clock = clock
        self._digest: str | None = None
        self._settled: tuple[str, int] | None = None
        self._fed: Sequence[LoadedOrder] | None = None
        self._refused: frozenset[Fault] = frozenset()
        self._blocks: Counter[str] = Counter()
        self._hour = self._clock() // HOUR * HOUR
        self._signed = self._clock()
        self._serving = False
        self._tried = 0.0
        self._openings = 1
        self._wake = asyncio.Event()

    async def open(self) -> None:
        """Open the ledger. Never raises."""
        await self.book.open()

    async def close(self) -> None:
        """Record the end and sign."""
        if self._serving:
            await self.book.keep([self._draft("stopped", self._who())])
            await self.book.sign(self._digest)
        await self.book.close()

    async def receive(self, orders: Iterable[LoadedOrder], wait: float) -> str | None:
        """Record new editions before they are compiled; why they must wait, or None.

        wait: seconds after which they wait no more for a ledger that cannot be written.
        """
        drafts = list(self._received(orders))
        if not drafts or await self.book.first(drafts):
            return None
        since = self.book.failing_since
        if since is not None and self._clock() - since >= wait:
            await self.book.keep(drafts)
            return None
        return f"new editions of orders wait, since the ledger cannot be written: {self.book.fault}"

    async def received(self, orders: Iterable[LoadedOrder]) -> None:
        """The same at the start, where nothing can wait."""
        await self.book.keep(list(self._received(orders)))

    async def note(self, kind: str, facts: dict[str, Any], order: str | None = None) -> None:
        """Record one more thing that has happened; see docs/ledger.md for kinds and facts."""
        await self.book.keep([self._draft(kind, facts, order)])

    def now(self) -> float:
        """The wall clock, in epoch seconds, to the millisecond that entries have."""
        return milliseconds(self._clock()) / 1000

    def look(self) -> None:
        """Look at what is in force now."""
        self._wake.set()

    async def run(self, reloader: Reloader, supervisor: Supervisor) -> None:
        """Record what happens, until cancelled."""
        while True:
            self._wake.clear()
            await self._look(reloader, supervisor)
            try:
                async with asyncio.timeout(LOOK):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def last_look(self, supervisor: Supervisor) -> None:
        """Record the counts of the hour so far."""
        await self.book.keep(list(self._counts(supervisor.blocks(), self._hour)))

    async def _look(self, reloader: Reloader, supervisor: Supervisor) -> None:
        drafts = [*self._refusals(reloader.refusals)]
        self._digest = reloader.load.digest
        if self.book.openings != self._openings:
            # Another file may be in its place, which knows nothing yet.
            self._openings = self.book.openings
            self._settled = self._fed = None
            drafts += self._received(reloader.orders)
        # Feeds first: what an order has in force comes from them.
        if self._fed is not reloader.orders:
            self._fed = orders = reloader.orders
            drafts += await asyncio.to_thread(lambda: list(self._lists(orders)))
        drafts += self._in_force(reloader, supervisor)
        now = self._clock()
        if now // HOUR * HOUR != self._hour:
            hour, self._hour = self._hour, now // HOUR * HOUR
            drafts += self._counts(supervisor.blocks(), hour)
        if drafts:
            await self.book.keep(drafts)
        elif self.book.fault is not None and time.monotonic() - self._tried >= RETRY:
            self._tried = time.monotonic()
            await self.book.flush()
        if abs(now - self._signed) >= reloader.settings.ledger.checkpoint:
            self._signed = now
            await self.book.sign(self._digest)

    def _who(self) -> dict[str, Any]:
        return {"version": version("geodns"), "node": self.node}

    def _draft(self, kind: str, facts: dict[str, Any], order: str | None = None) -> Draft:
        return Draft(kind, facts, order, self._digest, self.now())

    # Orders

    def _received(self, orders: Iterable[LoadedOrder]) -> Iterator[Draft]:
        standing = self.book.standing
        for loaded in orders:
            ident, edition = loaded.order.id, loaded.edition
            if standing.loaded.get(ident) != edition:
                if (ident, edition) not in standing.received:
                    yield self._draft("received", _described(loaded), ident)
                if not loaded.waiting:
                    yield self._draft("loaded", {"edition": edition}, ident)
            if loaded.held:
                facts = _held(loaded)
                if standing.held.get(ident) != canonical(facts):
                    yield self._draft("held", facts, ident)
            for row in loaded.order.acknowledge:
                facts = row.model_dump(mode="json")
                if (ident, canonical(facts)) not in standing.acknowledged:
                    yield self._draft("acknowledged", facts, ident)
            for each in loaded.approvals:
                facts = {**asdict(each), "at": _instant(each.at)}
                if (ident, canonical(facts)) not in standing.approved:
                    yield self._draft("approved", facts, ident)

    def _lists(self, orders: Sequence[LoadedOrder]) -> Iterator[Draft]:
        known = self.book.standing.feeds
        for loaded in orders:
            for feed in loaded.order.feeds:
                if feed.url is None:
                    continue
                state = KeptFeed(self._feeds, loaded.order.id, feed.url).state()
                if state.digest is None or known.get((state.order, state.source)) == state.digest:
                    continue
                facts = {
                    "source": state.source,
                    "sha256": state.digest,
                    "taken": state.taken,
                    "added": state.added,
                    "gone": state.gone,
                    "reasons": state.reasons,
                }
                yield self._draft("feed", facts, state.order)

    def _in_force(self, reloader: Reloader, supervisor: Supervisor) -> Iterator[Draft]:
        load, snapshot = reloader.load, reloader.snapshot
        now = load.digest, supervisor.generation
        if now == self._settled or snapshot.digest != load.digest:
            return
        if not supervisor.everywhere(load.digest):
            return
        self._settled = now
        standing, at = self.book.standing, self.now()
        loaded = {each.order.id: each for each in reloader.orders}
        present = {record.id: record for record in snapshot.in_force}
        if not self._serving:
            # Only now: what the ledger says to be in force is in force again.
            self._serving = True
            facts = {**self._who(), "orders": len(present), "key": self.book.public_key}
            yield self._draft("started", facts)
        for ident, (edition, _) in sorted(standing.enforced.items()):
            if ident not in present:
                yield self._draft("lifted", _lifted(edition, loaded.get(ident), at), ident)
        for ident, record in sorted(present.items()):
            if standing.enforced.get(ident, ("", ""))[1] == record.edition:
                continue
            edition = _file_edition(record.edition, loaded.get(ident), at)
            received = standing.received.get((ident, edition), at)
            wanted = max(received, record.effective, _last_event(loaded.get(ident), at))
            facts = {
                "edition": edition,
                "form": record.edition,
                "node": self.node,
                "generation": supervisor.generation,
                "workers": len(supervisor.slots),
                "received_at": received,
                "seconds": round(max(at - received, 0.0), 3),
                "late": round(max(at - wanted, 0.0), 3),
                "shadow": record.shadow,
            }
            yield self._draft("enforced", facts, ident)

    # What else happens

    def _refusals(self, faults: Iterable[Fault]) -> Iterator[Draft]:
        present = frozenset(faults)
        fresh = [fault for fault in present if fault not in self._refused]
        self._refused = present
        for file in sorted({fault.file or "" for fault in fresh}):
            told = sorted(
                (fault.line or 0, fault.field or "", fault.message)
                for fault in fresh
                if (fault.file or "") == file
            )
            faults_of = [{"line": a or None, "field": b or None, "message": c} for a, b, c in told]
            yield self._draft("refused", {"file": file or None, "faults": faults_of})

    def _counts(self, blocks: Counter[str], hour: float) -> Iterator[Draft]:
        """One entry an order. blocks: by ``block/ORDER/PLACE`` and ``shadow/ORDER/PLACE``."""
        grown = blocks - self._blocks
        self._blocks = Counter(blocks)
        orders: dict[str, dict[str, dict[str, int]]] = {}
        for name, count in grown.items():
            what, order, place = name.split("/")
            orders.setdefault(order, {"block": {}, "shadow": {}})[what][place] = count
        for order, found in sorted(orders.items()):
            facts = {"hour": int(hour), "blocks": found["block"], "shadow": found["shadow"]}
            yield self._draft("counts", facts, order)


def _described(loaded: LoadedOrder) -> dict[str, Any]:
    order = loaded.order
    return {
        "edition": loaded.edition,
        "file": str(Path(loaded.path).name),
        "place": loaded.place,
        "authority": order.authority.name,
        "kind": order.authority.kind,
        "reference": order.authority.reference,
        "title": order.title,
        "status": order.status,
        "jurisdiction": "global" if loaded.jurisdiction is None else list(loaded.jurisdiction),
        "except": list(loaded.except_),
        "timezone": order.timezone,
        "issued": _instant(loaded.issued),
        "effective": _instant(loaded.effective),
        "deadline": _instant(loaded.deadline),
        "expires": _instant(loaded.expires),
        "targets": {
            "domains": len(loaded.domains),
            "exact": len(loaded.exact),
            "below": len(loaded.below),
            "networks": len(loaded.networks),
            "exempt": len(loaded.exempt),
        },
    }


def _held(loaded: LoadedOrder) -> dict[str, Any]:
    return {
        "edition": loaded.edition,
        "count": len(loaded.held),
        "targets": [_target(each.target) for each in loaded.held[:MOST_HELD]],
        "findings": sorted({each.finding for each in loaded.held}),
    }


def _target(target: bytes | Network) -> str:
    return to_text(target) if isinstance(target, bytes) else str(target)


def _file_edition(form: str, loaded: LoadedOrder | None, now: float) -> str:
    """The edition of the file that this form in force was made of; itself if that is not known."""
    if loaded is None or as_of(loaded, datetime.fromtimestamp(now, UTC)).edition != form:
        return form
    return loaded.edition


def _lifted(edition: str, loaded: LoadedOrder | None, now: float) -> dict[str, Any]:
    why = why_ended(loaded, now)
    facts: dict[str, Any] = {"edition": edition, "why": why if why in _ENDED else "status"}
    if facts["why"] == "status":
        facts["detail"] = why
    if loaded is not None and loaded.edition != edition:
        facts["by"] = loaded.edition
    return facts


def _last_event(loaded: LoadedOrder | None, now: float) -> float:
    """The instant of the last thing that happened to an order by now; epoch seconds."""
    moments = () if loaded is None else (event.at.timestamp() for event in loaded.events)
    return max((moment for moment in moments if moment <= now), default=0.0)


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
