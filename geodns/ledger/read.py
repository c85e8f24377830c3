"""Asking the ledger: entries by kind, order and time, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from geodns.ledger.entry import Entry
from geodns.ledger.file import COLUMNS, open_to_read, read_row, told

STOPPED, NO_END = "it was stopped", "its end was not recorded"
_SERVING = ("enforced", "verified", "lifted", "counts", "checkpoint")
"""What only a server that runs writes; all else may come before it has started."""


class Ledger:
    """One ledger, to be read while it grows. Takes the entries as they are: see verify.py."""

    def __init__(self, path: Path) -> None:
        """Raises LedgerError if there is no ledger."""
        self.path = path
        self._connection = open_to_read(path)

    def entries(
        self,
        kinds: Iterable[str] | None = None,
        order: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[Entry]:
        """The entries in the order they were written.

        kinds, order: only those. since: from this instant on; until: before this one (epoch
        seconds). Raises LedgerError where the file cannot be read.
        """
        wanted: list[str] = []
        values: list[object] = []
        if kinds is not None:
            chosen = sorted(set(kinds))
            wanted.append(f"kind IN ({', '.join('?' * len(chosen))})")
            values += chosen
        for column, value in (("order_id =", order), ("at >=", since), ("at <", until)):
            if value is not None:
                wanted.append(f"{column} ?")
                values.append(value)
        where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        with told(self.path):
            rows = self._connection.execute(
                f"SELECT {COLUMNS} FROM entry{where} ORDER BY seq", values
            )
            yield from map(read_row, rows)

    def last(self) -> Entry | None:
        """The newest entry."""
        with told(self.path):
            row = self._connection.execute(
                f"SELECT {COLUMNS} FROM entry ORDER BY seq DESC LIMIT 1"
            ).fetchone()
        return None if row is None else read_row(row)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Period:
    """A time in force of one edition. entry: the ``enforced`` that began it.

    until: epoch seconds, None where it goes on. ended: what ended it, another ``enforced`` where
    a new edition did.
    """

    entry: Entry
    until: float | None = None
    ended: Entry | None = None

    @property
    def why(self) -> str | None:
        """Why it ended, in words."""
        if self.ended is None:
            return None
        if self.ended.kind == "enforced":
            return "a new edition"
        return str(self.ended.facts.get("detail") or self.ended.facts.get("why"))


def periods(own: Iterable[Entry]) -> list[Period]:
    """When an order was in force, out of its entries."""
    found: list[Period] = []
    for entry in own:
        if entry.kind not in ("enforced", "lifted"):
            continue
        if found and found[-1].until is None:
            found[-1] = Period(found[-1].entry, entry.at, entry)
        if entry.kind == "enforced":
            found.append(Period(entry))
    return found


class Running:
    """When the server ran, out of all entries, given one by one.

    nodes: names, in the order they appeared. away: from when until when (epoch seconds, None
    where it has not started since) it did not run, and why that is known.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, None] = {}
        self.away: list[tuple[float, float | None, str]] = []
        self._alive: float | None = None

    def take(self, entry: Entry) -> None:
        """Look at one entry, the next."""
        if entry.kind == "started":
            self.nodes[str(entry.facts.get("node"))] = None
            if self.away and self.away[-1][1] is None:
                self.away[-1] = self.away[-1][0], entry.at, self.away[-1][2]
            elif self._alive is not None:
                self.away.append((self._alive, entry.at, NO_END))
            self._alive = entry.at
        elif entry.kind == "stopped":
            self.away.append((entry.at, None, STOPPED))
            self._alive = None
        elif self._alive is not None and entry.kind in _SERVING:
            self._alive = entry.at
