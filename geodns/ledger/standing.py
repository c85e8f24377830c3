"""What a ledger says now: which editions are known, in force and verified."""

from __future__ import annotations

from collections.abc import Iterable

from geodns.ledger.entry import Entry, canonical
from geodns.ledger.read import Ledger
from geodns.ledger.writer import Draft

TELLING = (
    *("received", "loaded", "held", "acknowledged", "approved", "enforced", "verified", "lifted"),
    "feed",
)
"""The kinds of entries that it depends on."""


class Standing:
    """The sum of all entries.

    received: by (order, edition), epoch seconds: when it was last taken in, after another one or
    none. loaded: the edition by order. enforced: the
    edition by order, and its form: what of it has force. verified: (order, form) pairs that are
    in force. feeds: SHA-256 of the list by (order, source). held: what was last held by order,
    as JSON. acknowledged, approved: rows by order, as JSON.
    """

    def __init__(self, entries: Iterable[Entry | Draft] = ()) -> None:
        self.received: dict[tuple[str, str], float] = {}
        self.loaded: dict[str, str] = {}
        self.enforced: dict[str, tuple[str, str]] = {}
        self.verified: set[tuple[str, str]] = set()
        self.feeds: dict[tuple[str, str], str] = {}
        self.held: dict[str, str] = {}
        self.acknowledged: set[tuple[str, str]] = set()
        self.approved: set[tuple[str, str]] = set()
        for entry in entries:
            self.take(entry)

    @classmethod
    def of(cls, ledger: Ledger) -> Standing:
        """The standing of a whole ledger. Raises LedgerError where it cannot be read."""
        return cls(ledger.entries(TELLING))

    def take(self, told: Entry | Draft) -> None:
        """Add one entry, the next."""
        order, edition = told.order or "", str(told.facts.get("edition"))
        form = str(told.facts.get("form", edition))
        if told.kind == "received":
            self.received.setdefault((order, edition), told.at)
        elif told.kind == "loaded":
            self.loaded[order] = edition
            self.received[order, edition] = told.at
        elif told.kind == "held":
            self.held[order] = canonical(dict(told.facts))
        elif told.kind == "acknowledged":
            self.acknowledged.add((order, canonical(dict(told.facts))))
        elif told.kind == "approved":
            self.approved.add((order, canonical(dict(told.facts))))
        elif told.kind == "enforced":
            self._forget(order)
            self.enforced[order] = edition, form
        elif told.kind == "lifted":
            self._forget(order)
        elif told.kind == "verified":
            self.verified.add((order, form))
        elif told.kind == "feed":
            self.feeds[order, str(told.facts.get("source"))] = str(told.facts.get("sha256"))

    def _forget(self, order: str) -> None:
        self.verified.discard((order, self.enforced.pop(order, ("", ""))[1]))
