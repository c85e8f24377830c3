"""The life of one order as far as a report tells it: what it is, and when it was in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from geodns.ledger.entry import Entry
from geodns.ledger.read import Period, periods
from geodns.report.window import Window

Effect = Literal["force", "shadow", "held"]
"""What an edition on all workers does: it blocks, it records only, or all its targets are held."""
SORTS = ("domains", "exact", "below", "networks")
"""The sorts of targets."""
ENDS = ("lifted", "suspended", "expired", "superseded", "removed", "shadow", "held", "other")
"""Why an order came out of force."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time without a break, whatever the editions were. end: None where it goes on."""

    begin: float
    end: float | None
    effect: Effect
    why: str | None


@dataclass(slots=True)
class Life:
    """One order before the end of a report's time.

    own: its entries but for the counts. about: what was received last of what it orders.
    """

    order: str
    own: Sequence[Entry]
    about: Mapping[str, Any] = field(init=False)
    spans: list[Span] = field(init=False)
    current: str | None = field(init=False)
    _received: dict[str, Mapping[str, Any]] = field(init=False)
    _periods: list[Period] = field(init=False)

    def __post_init__(self) -> None:
        self._received = {
            str(entry.facts.get("edition")): entry.facts
            for entry in self.own
            if entry.kind == "received"
        }
        loaded = [str(e.facts.get("edition")) for e in self.own if e.kind == "loaded"]
        known = [edition for edition in loaded if edition in self._received] or [*self._received]
        self.current = known[-1] if known else None
        self.about = self._received.get(known[-1], {}) if known else {}
        self._periods = periods(self.own)
        self.spans = self._merged()

    @property
    def in_force(self) -> bool:
        """Whether it blocks at the end."""
        return bool(self.spans) and self.spans[-1].end is None and self.spans[-1].effect == "force"

    @property
    def forces(self) -> list[Span]:
        """The times in which it blocked."""
        return [span for span in self.spans if span.effect == "force"]

    @property
    def held(self) -> int:
        """How many targets of its present edition the guard holds."""
        return self._held(self.current, None)

    @property
    def targets(self) -> dict[str, int]:
        """Its targets by sort, those held among them."""
        told = self.about.get("targets") or {}
        return {sort: int(told.get(sort, 0)) for sort in SORTS}

    @property
    def lasting(self) -> int:
        """How many of its targets have force while it is in force."""
        return max(sum(self.targets.values()) - self.held, 0)

    def status(self) -> str:
        """What it is at the end: ``in force``, ``shadow``, ``held``, one of ENDS, or ``never``."""
        if self.spans and self.spans[-1].end is None:
            effect = self.spans[-1].effect
            return "in force" if effect == "force" else effect
        if self.spans:
            return "lifted" if self.about.get("status") == "lifted" else str(self.spans[-1].why)
        return "held" if self.held else "never"

    def verified(self) -> float | None:
        """When a reply of the server last showed what of it is, or was last, in force."""
        if not self._periods:
            return None
        facts = self._periods[-1].entry.facts
        form = facts.get("form", facts.get("edition"))
        found = [
            entry.at
            for entry in self.own
            if entry.kind == "verified" and entry.facts.get("form", entry.facts["edition"]) == form
        ]
        return found[-1] if found else None

    def carried_out(self) -> Iterator[Entry]:
        """The ``enforced`` entries whose ``late`` tells how long an edition took.

        Not those by the clock: what comes back after it was suspended, or loses a target on a
        day that was known, was not late.
        """
        fresh = False
        for entry in self.own:
            if entry.kind == "loaded":
                told = self._received.get(str(entry.facts.get("edition")), {})
                fresh = told.get("status", "active") == "active"
            elif entry.kind in ("enforced", "lifted"):
                if entry.kind == "enforced" and fresh and self._effect(entry) == "force":
                    yield entry
                fresh = False

    def deadline(self, window: Window) -> str | None:
        """Whether a deadline in the window was ``met``, ``missed``, is ``coming``, or was over
        when the order was received (``received late``); None where there is none."""
        text = self.about.get("deadline")
        at = datetime.fromisoformat(text).timestamp() if text else None
        if at is None or not window.holds(at):
            return None
        if any(span.begin <= at for span in self.forces):
            return "met"
        if at > window.end:
            return "coming"
        if self.own and self.own[0].at > at:
            return "received late"
        return "missed" if self.forces or self.about.get("status") == "active" else None

    def _held(self, edition: str | None, before: int | None) -> int:
        """Targets held of an edition, as it was before an entry."""
        for entry in reversed(self.own):
            if entry.kind == "held" and (before is None or entry.seq < before):
                if entry.facts.get("edition") != edition:
                    return 0
                return int(entry.facts.get("count", len(entry.facts.get("targets", ()))))
        return 0

    def _effect(self, enforced: Entry) -> Effect:
        if enforced.facts.get("shadow"):
            return "shadow"
        edition = str(enforced.facts.get("edition"))
        told = self._received.get(edition, {}).get("targets") or {}
        targets = sum(int(told.get(sort, 0)) for sort in SORTS)
        return "held" if 0 < targets <= self._held(edition, enforced.seq) else "force"

    def _merged(self) -> list[Span]:
        spans: list[Span] = []
        follows = False
        for period in self._periods:
            effect = self._effect(period.entry)
            span = Span(period.entry.at, period.until, effect, self._why(period))
            if follows and spans[-1].effect == effect:
                spans[-1] = Span(spans[-1].begin, span.end, effect, span.why)
            else:
                spans.append(span)
            follows = period.ended is not None and period.ended.kind == "enforced"
        return spans

    def _why(self, period: Period) -> str | None:
        """One of ENDS; ``force`` where what was in shadow or held came into force."""
        if period.ended is None:
            return None
        if period.ended.kind == "enforced":
            return self._effect(period.ended)
        why = period.ended.facts.get("why")
        why = period.ended.facts.get("detail") if why == "status" else why
        return str(why) if why in ENDS else "other"
